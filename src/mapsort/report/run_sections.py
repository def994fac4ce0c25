"""The report's sections on the run itself: time and memory, choices and parameters, log."""

from __future__ import annotations

from mapsort.report import charts
from mapsort.report.content import Chart, Section, Table
from mapsort.report.file_cache import FileCache
from mapsort.rundir.run_record import RunRecord, computing_seconds
from mapsort.rundir.wording import readable_size, readable_time

_LOG_LINES = 400


def resources_section(record: RunRecord, _: FileCache) -> Section | None:
    """Return the time of each stage and the memory, by iteration; None where there are none."""
    if not record.iterations and record.has_ended:
        return None
    if not record.iterations:
        return Section(words=("No iteration has ended yet.",))
    numbers, entries = record.iteration_numbers, record.iterations
    seconds = [entry["seconds"] for entry in entries]
    memory = [entry["peak_memory_mib"] for entry in entries]
    total = sum(computing_seconds(entry) for entry in entries)
    peak = readable_size(2**20 * max(value for value in memory if value is not None))
    shares: dict[str, float] = {}
    for entry in seconds:
        for stage, value in entry.items():
            shares[stage] = shares.get(stage, 0.0) + value
    words = ", ".join(f"{stage} {readable_time(value)}" for stage, value in shares.items())
    gib = [None if value is None else value / 1024 for value in memory]
    return Section(
        charts=(
            Chart.of_svg(
                "Time of each stage",
                f"Stacked bars of the time of each stage in each iteration; in all {words}.",
                charts.stage_times(numbers, seconds),
                f"In all {readable_time(total)}: {words}. Files are written while the next "
                "iteration computes.",
            ),
            Chart.of_svg(
                "Memory",
                f"Line: highest resident memory so far after each iteration; peak {peak}.",
                charts.lines_over_iterations("memory", numbers, {"peak": gib}, label="peak [GiB]"),
                f"Highest so far: {peak}.",
            ),
        ),
    )


def settings_section(record: RunRecord, _: FileCache) -> Section:
    """Return what was chosen automatically, all options, input files and the machine."""
    manifest = record.manifest
    tables = []
    if manifest.choices:
        rows = tuple((c["name"], c["value"], c["reason"]) for c in manifest.choices)
        tables.append(Table("Chosen automatically", ("what", "choice", "why"), rows))
    options = tuple((f"--{k.replace('_', '-')}", _written(v)) for k, v in manifest.options.items())
    inputs = tuple(
        (item.path, item.size_bytes / 2**20, item.mtime, item.sha256[:16], item.hashed)
        for item in manifest.inputs
    )
    machine = tuple((key, _written(value)) for key, value in manifest.machine.items())
    return Section(
        words=(f"Command: {' '.join(manifest.command)}",) if manifest.command else (),
        tables=tuple(tables),
        folded_tables=(
            Table("All options as used", ("option", "value"), options),
            Table(
                "Input files",
                ("file", "MiB", "changed", "SHA-256 begins", "of"),
                inputs,
                (None, 1),
            ),
            Table("Machine", ("what", "is"), (*machine, ("program", manifest.program))),
        ),
    )


def _written(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return "–" if value is None else str(value)


def log_section(record: RunRecord, _: FileCache) -> Section:
    """Return warnings and the last lines of the log."""
    warnings = tuple(f"{line.level}: {line.text}" for line in record.warnings())
    lines = tuple(line.whole for line in record.log[-_LOG_LINES:])
    return Section(words=warnings, log=lines)
