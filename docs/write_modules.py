"""Write docs/modules.md from the registry: python docs/write_modules.py."""

from __future__ import annotations

from pathlib import Path

from mapsort.modules.listing import markdown_page

if __name__ == "__main__":
    Path(__file__).with_name("modules.md").write_text(markdown_page(), encoding="utf-8")
