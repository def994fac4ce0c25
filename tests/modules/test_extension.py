"""Modules that users declare."""

from __future__ import annotations

# Declared functions need not use what they declare.
# ruff: noqa: ARG001
import subprocess
import sys
from typing import Annotated

import numpy as np
import pytest

import mapsort
from mapsort.errors import ConfigError
from mapsort.modules import registry
from mapsort.modules.comparators import COMPARATORS
from mapsort.modules.listing import listing, registry_of
from mapsort.modules.parameter import Limits
from mapsort.modules.registry import AVERAGERS, PROCESSORS, ModuleKind

IMAGE = np.arange(16.0).reshape(4, 4)


def test_processor():
    @mapsort.processor("my.gamma")
    def gamma(
        image,
        *,
        apix,
        exponent: Annotated[float, "power", Limits(above=0)] = 2.0,
        to: np.ndarray | None = None,
        times: int = 1,
    ):
        """Raise densities to a power.

        Not shown.
        """
        assert apix == 3.0
        return times * image**exponent + (0 if to is None else to)

    assert gamma(IMAGE, apix=3.0)[1, 1] == 25
    ours = mapsort.process("my.gamma:exponent=3", IMAGE, apix=3.0)
    np.testing.assert_array_equal(ours, IMAGE**3)
    assert ours.dtype == np.float32
    ours = mapsort.process("my.gamma", IMAGE, apix=3.0, to=IMAGE, times=2)
    np.testing.assert_array_equal(ours, 2 * IMAGE**2 + IMAGE)
    with pytest.raises(ConfigError, match="exponent=-1: expected a number above 0"):
        mapsort.process("my.gamma:exponent=-1", IMAGE)
    text = "\n".join(listing("processor", parameters=True))
    assert "my.gamma" in text
    assert "Raise densities to a power\n" in text
    assert "exponent (a number above 0, default 2): power" in text
    assert "to (a file with one image or map)" in text


def test_comparator():
    @mapsort.comparator("my.largest")
    def largest(this, with_, *, power: float):
        return float((np.abs(this - with_) ** power).max())

    assert mapsort.compare("my.largest:power=2", IMAGE, IMAGE + 3) == 9.0
    with pytest.raises(ConfigError, match="power is missing"):
        mapsort.compare("my.largest", IMAGE, IMAGE)
    assert "my.largest" in [m.name for m in COMPARATORS.modules()]


def test_averager():
    @mapsort.averager("my.first")
    def first(images, *, weights, keep: int = 1):
        assert weights.sum() == 3
        return images[:keep].mean(axis=0)

    images = np.stack([IMAGE, IMAGE + 2, IMAGE + 4])
    np.testing.assert_array_equal(mapsort.average("my.first:keep=2", images), IMAGE + 1)
    assert "my.first" in [m.name for m in AVERAGERS.modules()]


@pytest.mark.parametrize(
    ("decorator", "kind"),
    [
        ("projector", ModuleKind.PROJECTOR),
        ("reconstructor", ModuleKind.RECONSTRUCTOR),
    ],
)
def test_projectors_and_reconstructors_are_registered(decorator, kind):
    @getattr(mapsort, decorator)("my.own")
    def own(data, rotations, *, width: int = 2):
        return data * width, rotations

    bound = registry_of(kind).bind("my.own:width=4")
    assert bound(3, "r", apix=1.0) == (12, "r")


def test_refusals():
    with pytest.raises(ConfigError, match="registered twice"):
        mapsort.processor("mask.sharp")(lambda image: image)
    with pytest.raises(ConfigError, match="a name has letters"):
        mapsort.processor("my filter")
    with pytest.raises(ConfigError, match=r"my\.bad: shape: expected a type"):

        @mapsort.processor("my.bad")
        def bad(image, *, shape: tuple[int, int] = (1, 1)):
            return image

    with pytest.raises(ConfigError, match=r"my\.bad: size: expected a type .* got none"):

        @mapsort.processor("my.bad")
        def bad_again(image, *, size=1):
            return image

    assert "my.bad" not in [m.name for m in PROCESSORS.modules()]


PLUGIN = """
import mapsort

@mapsort.processor("plug.twice")
def twice(image):
    "Double."
    return 2 * image
"""


def install(directory, module, text):
    """Put a package with an entry point where Python finds it."""
    (directory / f"{module}.py").write_text(text)
    info = directory / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\nmine = {module}\n")


def in_new_python(directory, code):
    return subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(directory), "PATH": ""},
    )


def test_entry_points(tmp_path):
    install(tmp_path, "plug", PLUGIN)
    code = (
        "import mapsort, numpy as np\n"
        "print(mapsort.process('plug.twice', np.ones((2, 2))).sum())\n"
        "from mapsort.modules.listing import listing\n"
        "print(*listing('processor', parameters=False))"
    )
    done = in_new_python(tmp_path, code)
    assert done.stdout.splitlines()[0] == "8.0", done.stderr
    assert "plug.twice" in done.stdout


def test_a_broken_entry_point_is_named(tmp_path):
    install(tmp_path, "broken", "raise RuntimeError('no licence')")
    code = "import sys; from mapsort.cli.main import main; sys.exit(main(['modules', 'averagers']))"
    done = in_new_python(tmp_path, code)
    assert done.returncode == 2
    assert "modules 'mine' (broken) of broken cannot be loaded: no licence" in done.stderr
