"""The report's section on particles: scores, probabilities, properties by class, directions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.array_types import Int64
from mapsort.geometry.symmetry import symmetry
from mapsort.io.star_tables import read_columns
from mapsort.jobs.class_causes import numeric_properties
from mapsort.report import charts
from mapsort.report.content import Chart, Section
from mapsort.report.directions import SMOOTHING_DEG, direction_density, empty_share
from mapsort.report.file_cache import FileCache
from mapsort.report.palette import set_colours
from mapsort.rundir.run_record import RunRecord


def particle_section(record: RunRecord, cache: FileCache) -> Section | None:
    """Return histograms of scores, probabilities and properties, and the directions of each map."""
    path = record.directory.particles(record.last)
    if not path.exists():
        return None
    table = cache.get("particles", path, _particle_columns)
    chosen = table["rlnClassNumber"].to_numpy(dtype=np.int64) - 1
    made = (
        *_score_charts(record, table, chosen),
        *_property_charts(record, table, chosen),
        *_direction_charts(record, table, chosen),
    )
    return Section(charts=made)


_PARTICLE_COLUMNS = (
    "rlnClassNumber",
    "rlnAngleRot",
    "rlnAngleTilt",
    "rlnLogLikeliContribution",
    "rlnMaxValueProbDistribution",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnOriginXAngst",
    "rlnOriginYAngst",
    "mapsortScale",
    "mapsortOutlierScore",
)
#: Units and what they are of the columns' ones.
_UNITS = {"defocus": ("µm", 1e-4), "shift": ("Å", 1.0)}


def _particle_columns(path: Path) -> pd.DataFrame:
    return read_columns(path, "particles", _PARTICLE_COLUMNS)


def _score_charts(record: RunRecord, table: pd.DataFrame, chosen: Int64) -> list[Chart]:
    made = []
    names, n_models = record.counts[-1].names, record.n_models
    colours = set_colours(n_models, record.n_junk)
    last = len(names) - 1
    if "rlnLogLikeliContribution" in table:
        score = table["rlnLogLikeliContribution"].to_numpy(dtype=np.float64)
        low, high = (float(v) for v in np.quantile(score, [0.001, 0.999]))
        made.append(
            Chart.of_svg(
                "Scores",
                f"Histogram of the particles' scores with their map, 0.1 % tails at {low:.3g} and "
                f"{high:.3g}.",
                charts.histograms(
                    "scores",
                    [score[np.minimum(chosen, last) == place] for place in range(len(names))],
                    label="score with the chosen map",
                    limits=(low, max(high, low + 1e-6)),
                    names=names,
                    colours=colours,
                ),
                "Log-likelihood ratio against noise alone. A second, lower peak is often junk.",
            )
        )
    good = chosen < n_models
    if "rlnMaxValueProbDistribution" in table and n_models > 1 and good.any():
        probability = table["rlnMaxValueProbDistribution"].to_numpy(dtype=np.float64)
        sure = float(np.mean(probability[good] > 0.9))
        of = "particles that are not junk" if record.n_junk else "particles"
        made.append(
            Chart.of_svg(
                "Probability of the chosen map",
                f"Histogram of the probability of each particle's map; {sure:.0%} are above 0.9.",
                charts.histograms(
                    "probabilities",
                    [probability[chosen == model] for model in range(n_models)],
                    label="probability",
                    limits=(0.0, 1.0),
                    names=names[:n_models],
                    colours=colours,
                    logarithmic=True,
                ),
                f"{sure:.1%} of the {of} are assigned with p > 0.9.",
            )
        )
    return made


def _property_charts(record: RunRecord, table: pd.DataFrame, chosen: Int64) -> list[Chart]:
    """Return histograms of properties that classes of structures do not depend on."""
    names = record.counts[-1].names
    if len(names) < 2:
        return []
    place = np.minimum(chosen, len(names) - 1)
    made = []
    for name, values in numeric_properties(table):
        unit, factor = _UNITS.get(name, ("", 1.0))
        low, high = (float(v) for v in factor * np.quantile(values, [0.005, 0.995]))
        drawn = charts.histograms(
            f"property-{name.replace(' ', '-')}",
            [factor * values[place == number] for number in range(len(names))],
            label=f"{name} [{unit}]" if unit else name,
            limits=(low, max(high, low + 1e-6)),
            names=names,
            colours=set_colours(record.n_models, record.n_junk),
            relative=True,
        )
        medians = ", ".join(
            f"{each} {factor * np.median(values[place == number]):.3g}"
            for number, each in enumerate(names)
            if (place == number).any()
        )
        note = "Classes that are structures have similar curves."
        title = f"{name.capitalize()} by class"
        made.append(Chart.of_svg(title, f"{title}, histograms; medians: {medians}.", drawn, note))
    return made


def _direction_charts(record: RunRecord, table: pd.DataFrame, chosen: Int64) -> list[Chart]:
    if "rlnAngleRot" not in table or "rlnAngleTilt" not in table:
        return []
    angles = table[["rlnAngleRot", "rlnAngleTilt"]].to_numpy(dtype=np.float64)
    groups = record.manifest.options.get("sym") or []
    made = []
    for model in range(record.n_models):
        own = angles[chosen == model]
        if not len(own):
            continue
        group = str(groups[model]) if model < len(groups) else "c1"
        density = direction_density(own[:, 0], own[:, 1], symmetry(group).matrices)
        empty = empty_share(density)
        words = "" if group == "c1" else f", symmetry {group} applied"
        made.append(
            Chart.of_svg(
                f"Directions of map {model + 1}",
                f"Mollweide map of the projection directions of map {model + 1}'s particles"
                f"{words}; {empty:.0%} of the sphere has less than a tenth of the even density.",
                charts.mollweide(f"directions-{model + 1}", density),
                f"Longitude: rot; latitude: tilt{words}; smoothed by {SMOOTHING_DEG:g}°. "
                f"{empty:.0%} of the sphere has almost no views.",
            )
        )
    return made
