"""The ``name:key=val:key=val`` grammar that names a module, and what names are near others."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mapsort.errors import ConfigError

ParameterValue = int | float | str

_FIELD = re.compile(r'(?:"[^"]*"|[^":])*')
_INTEGER = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


@dataclass(frozen=True)
class ModuleCall:
    """A module's name and the parameters given for it."""

    #: Name as written, for example ``mask.auto3d``.
    name: str
    #: In the order written; equality does not depend on the order.
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)

    def __str__(self) -> str:
        """Write the call in the grammar that `parse_modopt` reads."""
        return ":".join([self.name, *(f"{k}={_written(v)}" for k, v in self.parameters.items())])


def parse_modopt(text: str) -> ModuleCall | None:
    r"""Read ``name:key=val:key=val``.

    Parameters
    ----------
    text : str
        The specification. ``true`` and ``false`` become 1 and 0; then a value is an int, else a
        float, else a string. Double quotes are stripped, make the value a string, and protect
        colons.

    Returns
    -------
    ModuleCall or None
        None for the word ``none``, which stands for no module.

    Raises
    ------
    ConfigError
        When a name is missing or malformed, a parameter has no ``=``, or is given twice.

    Notes
    -----
    The grammar of EMAN2's ``parsemodopt``.

    Examples
    --------
    >>> parse_modopt("eman:delta=5.0:inc_mirror=false").parameters
    {'delta': 5.0, 'inc_mirror': 0}
    """
    name, *pairs = _split(text)
    if name.lower() == "none" and not pairs:
        return None
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{text!r}: expected name:key=value:key=value, and the name is {name!r}")
    parameters: dict[str, ParameterValue] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not _NAME.fullmatch(key):
            raise ConfigError(f"{text!r}: expected key=value after the colon, got {pair!r}")
        if key in parameters:
            raise ConfigError(f"{text!r}: parameter {key} is given twice")
        parameters[key] = _value(value)
    return ModuleCall(name, parameters)


def _split(text: str) -> list[str]:
    """Split at the colons that are not inside double quotes."""
    if text.count('"') % 2:
        raise ConfigError(f"{text!r}: a double quote is not closed")
    fields, start = [], 0
    while True:
        match = _FIELD.match(text, start)
        end = match.end() if match else start
        fields.append(text[start:end].strip())
        if end >= len(text):
            return fields
        start = end + 1


def _value(text: str) -> ParameterValue:
    if text.lower() in ("true", "false"):
        return int(text.lower() == "true")
    if _INTEGER.fullmatch(text):
        return int(text)
    # A number too large for a float is no number: it stays the text that was written.
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text.replace('"', "")


def _written(value: ParameterValue) -> str:
    if not isinstance(value, str):
        return repr(value)
    if '"' in value:
        raise ConfigError(f"{value!r}: a parameter cannot hold a double quote")
    plain = ":" not in value and value == value.strip() and _value(value) == value
    return value if plain else f'"{value}"'


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the hint to append to a message about an unknown word.

    ``"; did you mean X?"``, or ``"; known: A, B"`` when nothing is near and there are few choices,
    or an empty string.

    Examples
    --------
    >>> did_you_mean("--modles", ["--models", "--mass"])
    '; did you mean --models?'
    """
    choices = sorted(set(known))
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known: {', '.join(choices)}" if 0 < len(choices) <= 12 else ""
