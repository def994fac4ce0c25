"""The nearest known word for a word that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
