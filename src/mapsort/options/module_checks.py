"""Which module names the options of a refinement hold, and what reads each."""

from __future__ import annotations

from collections.abc import Callable

from mapsort.errors import ConfigError
from mapsort.modules.averagers import AVERAGERS
from mapsort.modules.comparator import pose_scoring, search_comparator
from mapsort.modules.processors.process import processor_chain
from mapsort.modules.search_aligner import polish, search_aligner
from mapsort.stages.search.settings import NEWTON_STEPS

#: Options whose default leaves the choice to the program.
_AUTOMATIC: dict[str, Callable[[str], object]] = {
    "simaligncmp": pose_scoring,
    "simraligncmp": pose_scoring,
    "classcmp": search_comparator,
    "classalign": search_aligner,
    "classaligncmp": pose_scoring,
    "classraligncmp": pose_scoring,
    "classaverager": AVERAGERS.bind,
}
_NAMED: dict[str, Callable[[str], object]] = {
    "simcmp": search_comparator,
    "simalign": search_aligner,
    "simralign": lambda spec: polish(spec, steps=NEWTON_STEPS),
    "classralign": lambda spec: polish(spec, steps=NEWTON_STEPS),
    "classnormproc": processor_chain,
    "m3dpreprocess": processor_chain,
    "m3dpostprocess": processor_chain,
}


def module_checks(options: object) -> list[tuple[str, str, Callable[[str], object]]]:
    """Return option name, value and what must accept it, for every option that names modules."""
    checks = [(name, str(getattr(options, name)), check) for name, check in _NAMED.items()]
    for name, check in _AUTOMATIC.items():
        value = str(getattr(options, name))
        if value != "auto":
            checks.append((name, value, _not_none(check)))
    return checks


def _not_none(check: Callable[[str], object]) -> Callable[[str], object]:
    def checked(spec: str) -> object:
        if spec.strip().lower() == "none":
            raise ConfigError("a module is needed, or auto")
        return check(spec)

    return checked
