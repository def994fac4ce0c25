"""A command as a Python function: its signature, its documentation, what it returns."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from mapsort.cli.commands import Command, load
from mapsort.cli.runner import refresh_report, report_watcher, requested
from mapsort.engines.progress import Progress
from mapsort.options.fields import Options, keywords_of


def function_of(name: str, command: Command) -> Callable[..., Any]:
    """Return a command as a function of the module `mapsort.commands`."""
    options_type = command.options_type()
    positional = [f.name for f in dataclasses.fields(options_type) if f.metadata["positional"]]

    def call(*words: Any, progress: Progress | None = None, **given: Any) -> Any:
        if words:
            if not positional:
                raise TypeError(f"{name}() takes keywords only")
            given = {positional[0]: words} | given
        with requested(command, given) as options:
            return _made(name, command, options, progress)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "mapsort.commands"
    call.__doc__ = _documentation(command, options_type)
    call.__signature__ = _signature(command, options_type, positional)  # type: ignore[attr-defined]
    return call


def _made(name: str, command: Command, options: Any, progress: Progress | None) -> Any:
    """Return what the job made, or the text of a command that only tells."""
    if command.plan and options.check:
        return load("jobs", command.plan)(options, progress=progress)
    if not command.job:
        return "\n".join(load("cli", f"results.{name}")(options))
    kept: dict[str, Any] = {"watcher": report_watcher(options)} if command.is_watched else {}
    if command.shows_progress:
        kept["progress"] = progress
    made = load("jobs", command.job)(options, **kept)
    if command.refreshes:
        refresh_report(options.run[0])
    return made


def _signature(command: Command, kind: type[Options], positional: list[str]) -> inspect.Signature:
    """Return the signature that editors complete and `help` shows."""
    parameters = [
        *(inspect.Parameter(name, inspect.Parameter.VAR_POSITIONAL) for name in positional[:1]),
        *keywords_of(kind),
    ]
    if command.job and command.shows_progress:
        words = inspect.Parameter.KEYWORD_ONLY
        annotation = "Progress | None"
        parameters.append(inspect.Parameter("progress", words, default=None, annotation=annotation))
    return inspect.Signature(parameters)


def _documentation(command: Command, kind: type[Options]) -> str:
    """Return a docstring: what the command does, and the help of each option."""
    summary = f"{command.summary[0].upper()}{command.summary[1:]}."
    lines = []
    for item in dataclasses.fields(kind):
        values = item.metadata["kind"]
        words = "True or False" if values is None else values.words
        lines += [f"{item.name} : {words}", f"    {item.metadata['help']}"]
    return "\n".join([summary, "", "Parameters", "----------", *lines] if lines else [summary])
