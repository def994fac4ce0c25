"""The top of the report: the figures one looks for first, and a card for each map."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mapsort.report.file_cache import FileCache
from mapsort.report.map_pictures import strip_uris
from mapsort.report.palette import set_colours
from mapsort.rundir.run_record import RunRecord
from mapsort.rundir.set_counts import SetCounts
from mapsort.rundir.text import read_json
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
    particles: str
    share: float
    picture: str = ""
    alt: str = ""
    resolution: str = ""


def figures_of_merit(record: RunRecord) -> list[Merit]:
    """Return the figures of the last iteration."""
    if record.directory.pca.exists():
        return _of_components(record)
    if record.directory.abinit.exists():
        return _of_starts(record)
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


def _of_components(record: RunRecord) -> list[Merit]:
    found = read_json(record.directory.pca)
    return [
        Merit("particles", f"{found['particles']:,}"),
        Merit("of them junk", f"{found['junk']:,}"),
        Merit("components beyond chance", str(found["components_worth_it"])),
        Merit("compared up to", f"{found['resolution_ang']:.0f} Å"),
    ]


def _of_starts(record: RunRecord) -> list[Merit]:
    found = read_json(record.directory.abinit)
    return [
        Merit("particles", f"{found['particles']:,}"),
        Merit("of them junk", f"{found['junk']:,}"),
        Merit("maps", str(found["maps"])),
        Merit("gain per left-out particle", f"{found['held_out_gain_nat']:.1f} nat"),
        Merit("up to", f"{found['resolution_ang']:.1f} Å"),
    ]


def map_cards(record: RunRecord, cache: FileCache) -> list[MapCard]:
    """Return a card for each map as it is now, then for junk; none before the seeds are written."""
    begun = bool(record.iterations)
    counts = record.counts[-1] if begun else SetCounts((0,) * record.n_models)
    maps = record.iterations[-1]["maps"] if begun else ()
    colours = set_colours(record.n_models, record.n_junk)
    cards = []
    for place, (name, n, share) in enumerate(
        zip(counts.names, counts.all, counts.shares, strict=True)
    ):
        particles = f"{counted(n, 'particle')} · {share:.1f}%" if begun else "starting map"
        if record.is_single:
            # All particles are in the one map.
            particles, share = particles.partition(" · ")[0], 0.0
        card = MapCard(name.capitalize(), colours[place], particles, share)
        if place < record.n_models:
            uris = strip_uris(record.directory.maps(record.last, place + 1), cache, large=True)
            if uris is None:
                continue
            reached = f"{maps[place]['resolution_fsc_0143_ang']:.1f} Å" if begun else ""
            words = f"Projections of {name} along z, y and x"
            card = replace(card, picture=uris[1], alt=words, resolution=reached)
        cards.append(card)
    return cards
