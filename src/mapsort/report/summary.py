"""The top of the report: the figures one looks for first, and a card for each map."""

from __future__ import annotations

from dataclasses import dataclass

from mapsort.report.file_cache import FileCache
from mapsort.report.map_pictures import map_strip_uris
from mapsort.report.palette import colour_of, set_colours
from mapsort.rundir.run_record import RunRecord
from mapsort.rundir.wording import counted, readable_size


@dataclass(frozen=True)
class Merit:
    """One figure with its name."""

    name: str
    value: str


@dataclass(frozen=True)
class MapCard:
    """A map, or a set of junk, at a glance; junk has no picture."""

    title: str
    colour: str
    picture: str
    alt: str
    particles: str
    share: float
    resolution: str


def figures_of_merit(record: RunRecord) -> list[Merit]:
    """Return the figures of the last iteration."""
    planned = "" if record.n_planned is None else f" of {record.n_planned}"
    merits = [Merit("iteration", f"{record.last}{planned}"), Merit("maps", str(record.n_models))]
    if not record.iterations:
        return merits
    entry = record.iterations[-1]
    changed = entry["fraction_changed_map"]
    best = min(m["resolution_fsc_0143_ang"] for m in entry["maps"])
    counts = record.counts[-1]
    merits.insert(0, Merit("particles", f"{counts.total:,}"))
    if counts.junk:
        merits.insert(1, Merit("of them junk", f"{sum(counts.junk):,}"))
    merits.append(Merit("best resolution", f"{best:.1f} Å"))
    if changed is not None and record.n_models > 1:
        merits.append(Merit("changed class", f"{changed:.1%}"))
    if entry.get("bfactor_ang2") is not None:
        merits.append(Merit("B factor", f"{entry['bfactor_ang2']:.0f} Å²"))
    merits.append(Merit("peak memory", readable_size(2**20 * entry["peak_memory_mib"])))
    return merits


def map_cards(record: RunRecord, cache: FileCache) -> list[MapCard]:
    """Return a card for each map as it is now; none before the seeds are written."""
    cards = []
    for model in range(record.n_models):
        uris = map_strip_uris(record, record.last, model, cache, large=True)
        if uris is None:
            continue
        particles, share, resolution = "starting map", 0.0, ""
        if record.iterations:
            entry, counts = record.iterations[-1], record.counts[-1]
            share = counts.shares[model]
            particles = _particles(counts.maps[model], share)
            resolution = f"{entry['maps'][model]['resolution_fsc_0143_ang']:.1f} Å"
        cards.append(
            MapCard(
                title=f"Map {model + 1}",
                colour=colour_of(model),
                picture=uris[1],
                alt=f"Projections of map {model + 1} along z, y and x",
                particles=particles,
                share=share,
                resolution=resolution,
            )
        )
    return cards + _junk_cards(record)


def _junk_cards(record: RunRecord) -> list[MapCard]:
    if not record.n_junk:
        return []
    counts, n_models = record.counts[-1], record.n_models
    colours = set_colours(n_models, record.n_junk)
    return [
        MapCard(
            title=name.capitalize(),
            colour=colours[n_models + place],
            picture="",
            alt="",
            particles=_particles(counts.junk[place], counts.shares[n_models + place]),
            share=counts.shares[n_models + place],
            resolution="",
        )
        for place, name in enumerate(counts.junk_names)
    ]


def _particles(count: int, share: float) -> str:
    return f"{counted(count, 'particle')} · {share:.1f}%"
