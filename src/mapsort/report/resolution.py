"""What the report shows of resolution: its course, the curves behind it, a table of maps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from mapsort.physics.fsc import GOLD_STANDARD, ONE_HALF
from mapsort.report import charts
from mapsort.report.chart_frame import LONG_LEGEND
from mapsort.report.content import Cell, Chart, Section, Table
from mapsort.report.file_cache import FileCache
from mapsort.report.palette import DASHES, Curve, colour_of, styled
from mapsort.report.spectra import guinier_chart, local_charts
from mapsort.rundir.run_record import RunRecord
from mapsort.rundir.set_counts import COUNTING, HARD, POSTERIOR, USED
from mapsort.rundir.text import read_fsc

# Maps in the chart of what the mask does: three curves each.
_MASK_CHART_MAPS = 3


def resolution_course(record: RunRecord) -> Chart:
    """Return each map's resolution over iterations."""
    curves = {
        f"map {model + 1}": [
            entry["maps"][model]["resolution_fsc_0143_ang"] for entry in record.iterations
        ]
        for model in range(record.n_models)
    }
    last = ", ".join(f"{words} {values[-1]} Å" for words, values in curves.items())
    return Chart.of_svg(
        "Resolution",
        f"Lines: resolution of each map's halves at FSC 0.143 over iterations; last {last}.",
        charts.lines_over_iterations(
            "resolutions", record.iteration_numbers, curves, label="FSC 0.143 [Å]"
        ),
        "From halves that were kept apart from the start."
        if _independent(record)
        else "From halves that share references and poses: optimistic, not gold-standard.",
    )


def resolution_section(record: RunRecord, cache: FileCache) -> Section:
    """Return the curves of the last iteration and its table of maps."""
    made = [
        _single_chart(record) if record.is_single else _half_map_chart(record),
        _mask_chart(record),
        _previous_chart(record),
        _mutual_chart(record),
        guinier_chart(record, cache),
        *local_charts(record, cache),
    ]
    return Section(
        charts=tuple(chart for chart in made if chart is not None),
        tables=(_map_table(record),),
    )


def _independent(record: RunRecord) -> bool:
    """Whether the run kept half-sets apart (``--halves``, or a single map's refinement)."""
    return bool(
        record.iterations[-1].get("independent_halves")
        or record.manifest.options.get("independent_halves")
    )


def _half_map_chart(record: RunRecord) -> Chart | None:
    entry = record.iterations[-1]
    curves = [item.get("half_fsc") for item in entry["maps"]]
    known = record.directory.fsc(record.last, 1)
    if any(curve is None for curve in curves) or not known.exists():
        return None
    frequency, _ = read_fsc(known)
    shown = styled((f"map {m}", curve) for m, curve in enumerate(curves, start=1))
    marked = [item["resolution_fsc_0143_ang"] for item in entry["maps"]]
    text = ", ".join(f"map {m + 1} {r:.1f} Å" for m, r in enumerate(marked))
    return Chart.of_svg(
        "Halves of each map",
        f"Curves: FSC of the even and odd particles' maps; resolution at 0.143: {text}.",
        charts.fsc_curves("fsc-halves", frequency, shown, marked=marked),
        f"At FSC 0.143: {text}. "
        + (
            "From independent half maps, kept apart from the start; corrected for the mask."
            if _independent(record)
            else "The halves share references and poses."
        ),
    )


def _single_chart(record: RunRecord) -> Chart | None:
    """Return the four curves of a single map's independent halves."""
    path = record.directory.fsc_eo(record.last, 1)
    if not path.exists():
        return None
    frequency, curves = read_fsc(path)
    if curves.ndim != 2:
        return None
    names = ("corrected", "masked", "no mask", "random phases")
    shown = styled(zip(names, curves.T, strict=False))
    reached = float(record.iterations[-1]["maps"][0]["resolution_fsc_0143_ang"])
    return Chart.of_svg(
        "Independent half maps",
        "Curves: FSC of the half maps: corrected for the mask, under the mask, without it, and "
        "under it after phases beyond the well-agreeing shells were made random; the corrected one "
        f"is 0.143 at {reached:.1f} Å.",
        charts.fsc_curves("fsc-halves", frequency, shown, marked=[reached]),
        f"From independent half maps, kept apart from the start; the corrected curve falls to "
        f"0.143 at {reached:.1f} Å. Random phases should not agree: if their curve is high, the "
        "mask is too tight.",
    )


def _mask_chart(record: RunRecord) -> Chart | None:
    """Show what the mask has to do with the halves' agreement, with ``--halves``."""
    known = record.directory.fsc(record.last, 1)
    maps = record.iterations[-1]["maps"]
    if not known.exists() or any("half_fsc_masked" not in item for item in maps):
        return None
    frequency, _ = read_fsc(known)
    named = (("masked", "masked"), ("unmasked", "no mask"), ("randomised", "random phases"))
    shown: list[Curve] = [
        (f"map {m + 1}, {words}", np.array(item[f"half_fsc_{name}"], float), colour_of(m), dash)
        for m, item in enumerate(maps[:_MASK_CHART_MAPS])
        for (name, words), dash in zip(named, DASHES, strict=False)
    ]
    return Chart.of_svg(
        "Effect of the mask",
        "Curves: FSC of each map's halves under the mask, without it, and under it after phases "
        "beyond the well-agreeing shells were made random.",
        charts.fsc_curves("fsc-mask", frequency, shown, thresholds=(GOLD_STANDARD,)),
        "Random phases should not agree: if their curve is high, the mask is too tight.",
    )


def _previous_chart(record: RunRecord) -> Chart | None:
    paths = [record.directory.fsc(record.last, number + 1) for number in range(record.n_models)]
    if not all(path.exists() for path in paths):
        return None
    read = [read_fsc(path) for path in paths]
    shown = styled((f"map {m}", curve) for m, (_, curve) in enumerate(read, start=1))
    return Chart.of_svg(
        "With the previous iteration",
        "Curves: FSC of each map with itself one iteration earlier; near 1 when converged.",
        charts.fsc_curves("fsc-previous", read[0][0], shown, thresholds=(ONE_HALF,)),
        "Near 1 at all resolutions once the refinement has converged.",
    )


def _mutual_chart(record: RunRecord) -> Chart | None:
    path = record.directory.fsc_mutual(record.last)
    if not path.exists():
        return None
    frequency, curves = read_fsc(path)
    # The first column is the mean of the others.
    pairs = curves[:, 1:] if curves.ndim == 2 else curves[:, None]
    names = [f"{a}–{b}" for a, b in combinations(range(1, record.n_models + 1), 2)]
    if len(names) > LONG_LEGEND:
        pairs = np.stack([pairs.max(axis=1), pairs.mean(axis=1), pairs.min(axis=1)], axis=1)
        names = ["most alike", "mean", "least alike"]
    return Chart.of_svg(
        "Between maps",
        f"Curves: FSC between each two maps: {', '.join(names)}.",
        charts.fsc_curves(
            "fsc-mutual",
            frequency,
            styled(zip(names, pairs.T, strict=True)),
            thresholds=(ONE_HALF,),
        ),
        "For each pair of maps. The curve is low where the classes differ.",
    )


def _map_table(record: RunRecord) -> Table:
    options, counts = record.manifest.options, record.counts[-1]
    n_models, n_sets = record.n_models, len(counts.all)

    def padded(values: Sequence[Cell] | None) -> list[Cell]:
        """Return a value for each set, None where there is none; junk has none."""
        given = list(values or ())[:n_models]
        return given + [None] * (n_sets - len(given))

    def reached(name: str) -> list[Cell]:
        maps = record.iterations[-1]["maps"]
        return padded([float(item[f"resolution_{name}_ang"]) for item in maps])

    columns: dict[str, Sequence[Cell]] = {
        "set": counts.names,
        HARD: counts.all,
        "occupancy [%]": counts.shares,
        POSTERIOR: padded(counts.posterior),
        USED: padded(counts.used),
        "FSC 0.143 [Å]": reached("fsc_0143"),
        "FSC 0.5 [Å]": reached("fsc_05"),
        "to previous, 0.5 [Å]": reached("to_previous_fsc_05"),
        "symmetry": padded(options.get("sym")),
        "started from": padded(options.get("models")),
    }
    rows = tuple(zip(*columns.values(), strict=True))
    digits = (None, None, 1, 1, None, 2, 2, 2)
    note = "" if record.is_single else COUNTING
    return Table(f"Maps of iteration {record.last}", tuple(columns), rows, digits, note)
