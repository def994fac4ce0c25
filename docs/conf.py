"""How Sphinx builds these pages. What is made from the program is made anew at each build."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sphinx.util.logging import getLogger

from mapsort import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

logger = getLogger(__name__)

project = "mapsort"
author = "The mapsort developers"
copyright = f"2026, {author}"
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["_build", "tutorial_data"]
myst_enable_extensions = ["colon_fence", "deflist"]
# Options are written with two hyphens, also outside code.
smartquotes = False
myst_heading_anchors = 3

autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False
# Types in docstrings are told in words ("ndarray of shape ..."), not as references.
numpydoc_xref_param_type = False

# The notebook is executed at each build, and a cell that fails fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_in_temp = True
# What mapsort logs on the way is no output.
nb_output_stderr = "remove"

html_theme = "furo"
html_title = f"mapsort {__version__}"
html_static_path = ["_static"]
html_css_files = ["pictures.css"]
man_pages: list[tuple[str, str, str, list[str], int]] = []

# Papers' publishers and repositories refuse programs that look whether a page is there.
linkcheck_ignore = [r"https://doi\.org/.*", r"https://github\.com/.*", r"https://pypi\.org/.*"]
linkcheck_retries = 2


def setup(app: Any) -> None:
    """Make the pages that come from the program before Sphinx reads any."""
    app.connect("builder-inited", _generate)


def _generate(_app: Any) -> None:
    import draw_conventions
    import draw_report
    import execute_tutorial
    import write_cli
    import write_option_map

    write_cli.write(HERE / "reference" / "cli")
    write_option_map.write(HERE / "reference" / "option_map.md")
    draw_conventions.draw(HERE / "concepts" / "conventions.svg")
    tutorial = HERE / "tutorial_data"
    execute_tutorial.execute_if_stale(HERE / "tutorial.md", tutorial)
    report = tutorial / "multi_00" / "report" / "index.html"
    drawn = draw_report.draw_or_copy(report, HERE / "_static", tutorial)
    logger.info("pictures of the report: %s", "this tutorial's" if drawn else "kept, no browser")
