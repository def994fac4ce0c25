"""The top of the report: the figures one looks for first, and a card for each map."""

from __future__ import annotations

from dataclasses import dataclass

from mapsort.report.file_cache import FileCache
from mapsort.report.map_pictures import map_strip_uris
from mapsort.report.palette import colour_of
from mapsort.report.run_record import RunRecord


@dataclass(frozen=True)
class Merit:
    """One figure with its name."""

    name: str
    value: str


@dataclass(frozen=True)
class MapCard:
    """A map at a glance."""

    number: int
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
    merits.insert(0, Merit("particles", f"{record.n_particles:,}"))
    merits.append(Merit("best resolution", f"{best:.1f} Å"))
    if changed is not None:
        merits.append(Merit("changed map", f"{changed:.1%}"))
    merits.append(Merit("peak memory", readable_mib(entry["peak_memory_mib"])))
    return merits


def readable_mib(mib: float) -> str:
    """Return a size given in MiB as people write it."""
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def map_cards(record: RunRecord, cache: FileCache) -> list[MapCard]:
    """Return a card for each map as it is now; none before the seeds are written."""
    cards = []
    for model in range(record.n_models):
        uris = map_strip_uris(record, record.last, model, cache, large=True)
        if uris is None:
            continue
        particles, share, resolution = "starting map", 0.0, ""
        if record.iterations:
            entry = record.iterations[-1]
            count, total = entry["occupancy"][model], sum(entry["occupancy"])
            share = count / total if total else 0.0
            particles = f"{count:,} particles · {share:.1%}"
            resolution = f"{entry['maps'][model]['resolution_fsc_0143_ang']:.1f} Å"
        cards.append(
            MapCard(
                number=model + 1,
                colour=colour_of(model),
                picture=uris[1],
                alt=f"Projections of map {model + 1} along z, y and x",
                particles=particles,
                share=share,
                resolution=resolution,
            )
        )
    return cards
