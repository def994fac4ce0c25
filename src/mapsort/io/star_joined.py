"""Tables of several STAR files behind one another in one file: joined, or refused with counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from mapsort.errors import FormatError
from mapsort.io.optics import GROUP

_IMAGE = "rlnImageName"
_NAME = "rlnOpticsGroupName"
Blocks = list[tuple[str, pd.DataFrame]]


def joined_tables(path: Path, blocks: Blocks) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Make one table of blocks that have one name, by their names, and notes of what was joined.

    Tables of particles are joined; each belongs to the optics groups before it, and a group that
    another group of that number came before has a new number.

    Raises
    ------
    FormatError
        Blocks of one name cannot be joined: they are no tables of particles, or have different
        columns; the message counts the rows of each.
    """
    times = Counter(name for name, _ in blocks)
    if max(times.values(), default=0) < 2:
        return dict(blocks), []
    optics, blocks, renumbered = _one_optics(path, blocks)
    tables: dict[str, pd.DataFrame] = {}
    notes = []
    for name in dict.fromkeys(name for name, _ in blocks):
        parts = [table for other, table in blocks if other == name]
        tables[name] = optics if name == "optics" else parts[0]
        if name != "optics" and len(parts) > 1:
            tables[name] = _concatenated(path, name, parts)
            notes.append(f"{path}: data_{name} is there {_counted(parts)}: all are read")
    notes += [f"{path}: {words}" for words in renumbered]
    return tables, notes


def _counted(parts: list[pd.DataFrame]) -> str:
    rows = " + ".join(str(len(part)) for part in parts)
    times = "twice" if len(parts) == 2 else f"{len(parts)} times"
    return f"{times} ({rows} rows)"


def _concatenated(path: Path, name: str, parts: list[pd.DataFrame]) -> pd.DataFrame:
    if any(_IMAGE not in part for part in parts):
        raise FormatError(
            f"{path}: data_{name} is there {_counted(parts)}; give each a file of its own."
        )
    odd = [set(part.columns) ^ set(parts[0].columns) for part in parts]
    if any(odd):
        label = sorted(set.union(*odd))[0]
        raise FormatError(
            f"{path}: data_{name} is there {_counted(parts)} with different columns: {label} is "
            "not in all. Join the files with relion_star_handler --combine."
        )
    return pd.concat([part[list(parts[0].columns)] for part in parts], ignore_index=True)


def _one_optics(path: Path, blocks: Blocks) -> tuple[pd.DataFrame, Blocks, list[str]]:
    """Join the optics groups and give particles the numbers of theirs."""
    stated = [table for name, table in blocks if name == "optics"]
    if any(set(table.columns) != set(stated[0].columns) for table in stated):
        raise FormatError(
            f"{path}: data_optics is there {_counted(stated)} with different columns. "
            "Join the files with relion_star_handler --combine."
        )
    joined: list[dict[str, object]] = []
    renumbered: dict[str, str] = {}
    others: Blocks = []
    told = []
    for name, table in blocks:
        if name == "optics" and GROUP in table:
            renumbered = _taken_in(joined, table)
            told += [
                f"optics group {old} of a later data_optics differs from the first one of that "
                f"number: it is group {new} now"
                for old, new in renumbered.items()
            ]
        elif GROUP in table and renumbered:
            table = table.assign(**{GROUP: table[GROUP].astype(str).replace(renumbered)})
        others.append((name, table))
    columns = list(stated[0].columns) if stated else []
    return pd.DataFrame(joined, columns=columns, dtype=object), others, told


def _taken_in(joined: list[dict[str, object]], table: pd.DataFrame) -> dict[str, str]:
    """Add groups that are not there yet; return the numbers of those that had to be changed."""
    earlier = {str(row[GROUP]): row for row in joined}
    taken = {*earlier, *table[GROUP].astype(str)}
    renumbered: dict[str, str] = {}
    for record in table.to_dict("records"):
        row = {str(label): value for label, value in record.items()}
        number = str(row[GROUP])
        if number in earlier and _equal(earlier[number], row):
            continue
        if number in earlier:
            free = next(n for n in map(str, range(1, len(taken) + 2)) if n not in taken)
            taken.add(free)
            renumbered[number] = row[GROUP] = free
            if any(other.get(_NAME) == row.get(_NAME) for other in joined) and _NAME in row:
                row[_NAME] = f"opticsGroup{free}"
        joined.append(row)
    return renumbered


def _equal(one: dict[str, object], other: dict[str, object]) -> bool:
    return all(_value(value) == _value(other[label]) for label, value in one.items())


def _value(cell: object) -> object:
    try:
        number = float(str(cell))
    except ValueError:
        return str(cell)
    return number if number == number else "nan"
