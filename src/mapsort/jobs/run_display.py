"""How a finished run shows itself in a notebook: a row per map, with its share and slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mapsort.io.png import data_uri, map_strips
from mapsort.model.volume import Volume
from mapsort.rundir.set_counts import SetCounts
from mapsort.rundir.wording import counted

#: Largest side of one slice in the picture [pixels].
_SIDE = 128
_HEADINGS = ("map", "particles", "resolution", "slices through the centre: z, y, x")


def run_html(path: Path, maps: Sequence[Volume], entries: Sequence[Mapping[str, Any]]) -> str:
    """Return a run as an HTML fragment.

    Parameters
    ----------
    path : Path
        The run directory.
    maps : sequence of Volume
        The last iteration's maps.
    entries : sequence of mapping
        Records of convergence.json; the last one gives shares and resolutions.

    Returns
    -------
    str
        A table that needs no style sheet and no script.
    """
    last = entries[-1]
    counts = SetCounts.of_entry(last)
    junk = "".join(
        f", {name} {n:,}" for name, n in zip(counts.junk_names, counts.junk, strict=True)
    )
    rows = [
        _row(number, volume, counts.maps[number - 1], counts.shares[number - 1], found)
        for number, (volume, found) in enumerate(zip(maps, last["maps"], strict=True), start=1)
    ]
    head = Markup("").join(Markup("<th>{}</th>").format(text) for text in _HEADINGS)
    return str(
        Markup(
            "<table><caption>{path}: {n}, {end}; {particles}{junk}</caption>"
            "<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        ).format(
            path=str(path),
            n=counted(len(entries), "iteration"),
            particles=counted(counts.total, "particle"),
            junk=junk,
            end=last.get("end") or "not ended",
            head=head,
            rows=Markup("").join(rows),
        )
    )


def _row(number: int, volume: Volume, count: int, share: float, found: Mapping[str, Any]) -> Markup:
    slices, _ = map_strips(volume.data, _SIDE)
    return Markup(
        "<tr><td>{number}</td><td>{count} ({share})</td><td>{resolution} A</td>"
        '<td><img alt="slices of map {number}" src="{source}"/></td></tr>'
    ).format(
        number=number,
        count=count,
        share=f"{share:.1f}%",
        resolution=f"{found['resolution_fsc_0143_ang']:.1f}",
        source=data_uri(slices),
    )
