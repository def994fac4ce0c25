"""Draw the annotated pictures of the report: screenshots of its sections, their parts numbered.

    python docs/draw_report.py RUN/report/index.html docs/_static [report_head ...]

It needs Playwright and a Chromium (MAPSORT_CHROMIUM names another one than that of the PATH).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

#: Picture, section, most of its height that is shown [pixel], and what its numbers 1, 2 ... mark.
PICTURES = (
    ("report_head", "body", 640, (".state", ".verdict", ".merits", ".cards")),
    (
        "report_maps",
        "#maps",
        960,
        (".axes", ".surface", "[aria-label^=Slice]", "[aria-label^=Diff]"),
    ),
    ("report_flow", "#flow", 470, ()),
    ("report_images", "#images", 660, ()),
)
_MARK = """([element, number]) => {
  const box = element.getBoundingClientRect(), mark = document.createElement("div");
  mark.textContent = number;
  mark.style.cssText = `position:absolute;z-index:9;left:${box.left + scrollX - 12}px;` +
    `top:${box.top + scrollY - 8}px;width:24px;height:24px;border-radius:12px;background:#D55E00;` +
    "color:white;font:bold 14px/24px sans-serif;text-align:center";
  document.body.append(mark);
}"""


def draw(report: Path, directory: Path, names: list[str]) -> None:
    """Draw the pictures of these names, or all."""
    program = os.environ.get("MAPSORT_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, section, height, marked in PICTURES:
            if names and name not in names:
                continue
            page = browser.new_page(viewport={"width": 1100, "height": 900})
            page.goto(report.resolve().as_uri())
            place = page.locator(section)
            if not place.count():
                continue
            for number, part in enumerate(marked, start=1):
                found = place.locator(f"{part}:visible").first
                if found.count():
                    page.evaluate(_MARK, [found.element_handle(), number])
            box = place.bounding_box()
            clip = {**box, "height": min(height, box["height"])}
            page.screenshot(path=directory / f"{name}.png", clip=clip, full_page=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
