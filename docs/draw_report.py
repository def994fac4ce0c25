"""Draw the annotated pictures of the report: screenshots of its sections, their parts numbered.

    python docs/draw_report.py docs/tutorial_data/multi_00/report/index.html docs/_static

The pages show the report of the tutorial that they have executed. It needs Playwright and a
Chromium (MAPSORT_CHROMIUM names another one than that of the PATH); where these are missing, the
pages show the pictures that were last put into ``docs/_static`` by the line above.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Picture(NamedTuple):
    """A section, most of its height that is shown [pixel], and what its numbers 1, 2 ... mark."""

    section: str
    height: int
    marked: tuple[str, ...] = ()


PICTURES = {
    "report_head": Picture("body", 700, (".state", ".verdict", ".merits", ".cards")),
    "report_maps": Picture(
        "#maps", 1180, (".axes", ".surface", "[aria-label^=Slice]", "[aria-label^=Diff]")
    ),
    "report_flow": Picture("#flow", 470),
    "report_images": Picture("#images", 660),
}
_MARK = """([element, number]) => {
  const box = element.getBoundingClientRect(), mark = document.createElement("div");
  mark.textContent = number;
  mark.style.cssText = `position:absolute;z-index:9;left:${box.left + scrollX - 22}px;` +
    `top:${box.top + scrollY - 4}px;width:24px;height:24px;border-radius:12px;background:#D55E00;` +
    "color:white;font:bold 14px/24px sans-serif;text-align:center";
  document.body.append(mark);
}"""


def chromium() -> str | None:
    """Return the path of the browser; None where it, or what drives it, is missing."""
    if importlib.util.find_spec("playwright") is None:
        return None
    return os.environ.get("MAPSORT_CHROMIUM") or shutil.which("chromium")


def draw_or_copy(report: Path, kept: Path, directory: Path) -> bool:
    """Draw the pictures of a report into a directory, or copy those that are kept.

    Pictures that are newer than the report stay.

    Returns
    -------
    bool
        Whether they show this report.
    """
    program = chromium()
    made = [directory / f"{name}.png" for name in PICTURES]
    if program is None:
        for path in made:
            shutil.copyfile(kept / path.name, path)
    elif not all(p.exists() and p.stat().st_mtime > report.stat().st_mtime for p in made):
        draw_with(program, report, directory)
    return program is not None


def draw_with(program: str, report: Path, directory: Path) -> None:
    """Draw the pictures with the browser of this path."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        draw(browser, report, directory)
        browser.close()


def draw(browser: Any, report: Path, directory: Path) -> None:
    """Draw the pictures.

    Raises
    ------
    playwright.sync_api.TimeoutError
        The report lacks a section, or a part that is marked.
    """
    for name, picture in PICTURES.items():
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.goto(report.resolve().as_uri())
        _draw(page, picture, directory / f"{name}.png")
        page.close()


def _draw(page: Any, picture: Picture, path: Path) -> None:
    place = page.locator(picture.section)
    for number, part in enumerate(picture.marked, start=1):
        found = place.locator(f"{part}:visible").first
        page.evaluate(_MARK, [found.element_handle(timeout=5000), number])
    box = place.bounding_box(timeout=5000)
    clip = {**box, "height": min(picture.height, box["height"])}
    page.screenshot(path=path, clip=clip, full_page=True)


if __name__ == "__main__":
    found = chromium()
    if found is None:
        sys.exit("no chromium, or no Playwright; MAPSORT_CHROMIUM names a browser")
    draw_with(found, Path(sys.argv[1]), Path(sys.argv[2]))
