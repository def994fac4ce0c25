"""The types in _core.pyi are those of the compiled kernels: names, order, keywords, defaults.

What pybind11 makes has no signature that `inspect` or mypy's stubtest (ci/lint.sh) could read, but
the first line of its docstring is one.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from mapsort import _core

STUB = ast.parse(Path(_core.__file__).with_suffix(".pyi").read_text())
COMPILED = _core._module


def stubs(body):
    """Return the functions in the stub, of the module or of a class, by name."""
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


CLASSES = {node.name: stubs(node.body) for node in STUB.body if isinstance(node, ast.ClassDef)}


def compiled(value):
    """Return the signature that a compiled function's docstring begins with."""
    line = value.__doc__.splitlines()[0]
    return ast.parse(f"def {line}: ...").body[0]


def parameters(function):
    """Return (name, keyword only, default) of every parameter; types are mypy's concern."""
    given, more = function.args, function.args.kwonlyargs
    assert given.vararg is None
    assert given.kwarg is None
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + given.defaults
    found = [(a.arg, False, d) for a, d in zip(plain, defaults, strict=True)]
    found += [(a.arg, True, d) for a, d in zip(more, given.kw_defaults, strict=True)]
    return [(name, kw, None if d is None else ast.unparse(d)) for name, kw, d in found]


def test_functions():
    functions = {n: v for n, v in vars(COMPILED).items() if not n.startswith("_") and callable(v)}
    functions = {name: f for name, f in functions.items() if not inspect.isclass(f)}
    typed = stubs(STUB.body)
    assert functions.keys() <= typed.keys()
    for name, function in functions.items():
        assert parameters(compiled(function)) == parameters(typed[name]), name


@pytest.mark.parametrize("name", [n for n, v in vars(COMPILED).items() if inspect.isclass(v)])
def test_methods(name):
    typed = CLASSES[name]
    members = {
        key: value
        for key, value in vars(getattr(COMPILED, name)).items()
        if not key.startswith("_") or key in {"__init__", "__len__"}
    }
    assert members.keys() == typed.keys()
    for key, value in members.items():
        if isinstance(value, property):
            assert [ast.unparse(d) for d in typed[key].decorator_list] == ["property"], key
            returned = re.search(r"-> (\w+)", value.fget.__doc__)
            assert returned is not None, key
        else:
            assert parameters(compiled(value)) == parameters(typed[key]), key
