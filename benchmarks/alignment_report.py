"""Show the figures of the alignment benchmark: tables on the terminal, one plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

#: Figures to reach: pairs per second and core, by box.
TARGET_PAIRS = {64: 300_000, 128: 100_000, 256: 30_000}

#: How numbers are written; all others with three digits after the point.
_DIGITS = {
    "gflops": ".1f",
    "share_of_sgemm": ".3f",
    "shift_step_px": ".2f",
    "ns_per_shift_pair": ".1f",
    "pairs_per_second": ",.0f",
    "pairs_per_second_with_image_fft": ",.0f",
    "exhaustive_pairs_per_second": ",.0f",
    "ms_per_particle": ".2f",
    "image_fft_ms_per_particle": ".2f",
    "largest_loss_nats": ".2f",
    "us_per_pair": ".2f",
    "speed_up": ".2f",
    "median_shift_error_px": ".4f",
    "p95_shift_error_px": ".4f",
    "step_deg": "g",
    "max_shift_px": "g",
}


def print_tables(results: dict[str, Any]) -> None:
    """Print every table of the results."""
    console = Console(width=None if Console().is_terminal else 160)
    conditions = ", ".join(f"{name} {value}" for name, value in results["conditions"].items())
    console.print(conditions, soft_wrap=True, highlight=False)
    console.print(f"Products of matrices on one core: {results['sgemm_gflops']:.1f} GFlop/s")
    for title, rows in _titled(results).items():
        console.print(_table(title, rows))


def write_markdown(results: dict[str, Any], path: Path) -> None:
    """Write the same tables as docs/performance.md shows them."""
    conditions = results["conditions"]
    lines = [
        f"Commit {conditions['commit']}, {conditions['date']}, {conditions['processor']}, "
        f"{conditions['cores']} cores, kernels {conditions['isa']}, {conditions['compiler']}; load "
        f"average {conditions['load_before']:.1f} before and {conditions['load_after']:.1f} after. "
        f"Products of matrices on one core: {results['sgemm_gflops']:.1f} GFlop/s."
    ]
    for title, rows in _titled(results).items():
        cells = [[_text(name, value) for name, value in row.items()] for row in rows]
        lines += ["", f"### {title[0].upper()}{title[1:]}", ""]
        lines += [_markdown_row([name.replace("_", " ") for name in rows[0]])]
        lines += ["|" + "---:|" * len(rows[0]), *map(_markdown_row, cells)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _titled(results: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    names = {"step_deg": "references", "max_shift_px": "the largest shift"}
    return {
        "kernel of each level": results["kernels"],
        "default search, one core": results["search"],
        "against exhaustive search": results["agreement"],
        "noise-free accuracy": results["accuracy"],
        **{
            f"growth with {names.get(name, name)}": rows for name, rows in results["growth"].items()
        },
        "threads": results["threads"],
    }


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*[_text(name, value) for name, value in row.items()])
    return table


def _text(name: str, value: object) -> str:
    return format(value, _DIGITS.get(name, ".3f")) if isinstance(value, float) else str(value)


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw rates by box, share of the peak, and growth."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.fonttype"] = "none"  # text as text: a third of the size
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
    _plot_rates(axes[0, 0], results)
    _plot_shares(axes[0, 1], results)
    _plot_threads(axes[0, 2], results)
    growth = results["growth"]
    for axis, (name, x, label) in zip(
        axes[1],
        [
            ("particles", "particles", "particles"),
            ("step_deg", "references", "references (angular step)"),
            ("max_shift_px", "max_shift_px", "largest shift [px]"),
        ],
        strict=True,
    ):
        rows = sorted(growth[name], key=lambda row: row[x])
        axis.plot([row[x] for row in rows], [row["seconds"] for row in rows], "o-")
        axis.set(xlabel=label, ylabel="CPU seconds")
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        axis.set_title(f"{results['search'][0]['box']} px: growth with {label.split(' (')[0]}")
    conditions = results["conditions"]
    figure.suptitle(
        f"mapsort alignment, {conditions['commit']}, {conditions['date']}: one core of "
        f"{conditions['processor']}, {conditions['isa']}",
        fontsize=9,
    )
    figure.savefig(path)
    plt.close(figure)


def _plot_rates(axis: Any, results: dict[str, Any]) -> None:
    rows = results["search"]
    boxes = [row["box"] for row in rows]
    axis.plot(boxes, [row["pairs_per_second"] for row in rows], "o-", label="search")
    with_fft = [row["pairs_per_second_with_image_fft"] for row in rows]
    axis.plot(boxes, with_fft, "o--", label="search and image FFT")
    exhaustive = [row["exhaustive_pairs_per_second"] for row in results["agreement"]]
    axis.plot(boxes, exhaustive, "s-", label="exhaustive")
    targets = [TARGET_PAIRS[box] for box in boxes]
    axis.plot(boxes, targets, "k_", markersize=16, label="to reach")
    axis.set(yscale="log", xlabel="box [px]", ylabel="pairs per second and core", xticks=boxes)
    axis.set_title("global search with refinement")
    axis.legend(fontsize=8)


def _plot_shares(axis: Any, results: dict[str, Any]) -> None:
    rows = results["kernels"]
    labels = [f"{row['box']} px\nlevel {row['level']}" for row in rows]
    axis.bar(labels, [row["share_of_sgemm"] for row in rows])
    axis.tick_params(axis="x", labelsize=7)
    axis.set(ylim=(0, 1), ylabel="share of the rate of sgemm", title="kernel")


def _plot_threads(axis: Any, results: dict[str, Any]) -> None:
    rows = results["threads"]
    threads = [row["threads"] for row in rows]
    axis.plot(threads, [row["speed_up"] for row in rows], "o-")
    axis.plot(threads, threads, "k:", linewidth=1)
    axis.set(xlabel="threads", ylabel="speed-up (wall)", xticks=threads, ylim=(0, 2.2))
    axis.set_title("threads")
