"""What is written for cryoSPARC, opened by cryosparc-tools."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import mapsort
from mapsort.errors import FormatError
from mapsort.io.cryosparc_fields import CryosparcFields
from mapsort.jobs.convert import convert
from mapsort.jobs.simulate import simulate
from mapsort.options.convert import ConvertOptions
from mapsort.options.simulate import SimulateOptions

pytestmark = pytest.mark.interop

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "cryosparc_external_job.py"
N = 60


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a ``.cs`` that cryosparc-tools wrote, and its sets."""
    from cryosparc.dataset import Dataset

    project = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        simulate(SimulateOptions(phantom=2, n=N, out=Path("sim"), seed=1))
        convert(ConvertOptions(files=(Path("sim/particles.star"), Path("made.cs"))))
        # As load_input().save() of a job: all slots in one array.
        Dataset.load("made.cs").save("particles.cs")
        done = mapsort.refine_multi(
            "particles.cs",
            ["sim/seed_01.mrc", "sim/seed_02.mrc"],
            path="multi_00",
            iter=1,
            orientgen="eman:delta=30",
            randomseed=1,
            parallel="thread:1",
        )
        mapsort.split(done)
    return project / "multi_00"


def test_a_converted_set_is_the_same_by_their_reader_and_ours(run: Path) -> None:
    from cryosparc.dataset import Dataset

    path = run.parent / "made.cs"
    theirs, ours = Dataset.load(path), CryosparcFields.read(path).values
    assert set(theirs.fields()) == set(ours)
    assert len(theirs) == N
    for name, column in ours.items():
        found = np.asarray(theirs[name])
        expected = column.astype(str) if column.dtype.kind == "S" else column
        np.testing.assert_array_equal(found.astype(expected.dtype), expected)
    again = Dataset.load(run.parent / "particles.cs")
    assert again == theirs


def test_the_group_file_names_every_slot_of_the_set(run: Path) -> None:
    import yaml
    from cryosparc.dataset import Dataset

    group = yaml.safe_load((run.parent / "made.csg").read_text(encoding="utf-8"))
    prefixes = Dataset.load(run.parent / "made.cs").prefixes()
    assert set(group["results"]) == set(prefixes)
    assert group["group"]["type"] == "particle"
    for name, slot in group["results"].items():
        assert slot == {"metafile": ">made.cs", "num_items": N, "type": f"particle.{name}"}


def test_the_example_finds_each_class_by_uid(run: Path) -> None:
    from cryosparc.dataset import Dataset

    spec = importlib.util.spec_from_file_location("example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    particles = Dataset.load(run.parent / "particles.cs")
    sets = example.class_datasets(run)
    assert set(sets) <= {"particles_m1", "particles_m2"}
    assert sorted(uid for one in sets.values() for uid in one["uid"]) == sorted(particles["uid"])
    for one in sets.values():
        assert one.prefixes() == ["alignments3D"]
        assert np.isfinite(one["alignments3D/pose"]).all()
        joined = particles.filter_prefixes(["blob", "ctf"]).innerjoin(one)
        assert len(joined) == len(one)
    volume = example.map_dataset(Path("multi_00/threed_01_01.mrc"), 64, 2.0)
    assert volume["map/shape"].tolist() == [[64, 64, 64]]


def test_the_compressed_stream_is_refused_with_the_way_out(run: Path) -> None:
    from cryosparc.dataset import NEWEST_FORMAT, Dataset

    path = run.parent / "stream.cs"
    Dataset.load(run.parent / "particles.cs").save(path, format=NEWEST_FORMAT)
    with pytest.raises(FormatError, match="compressed stream format"):
        CryosparcFields.read(path)
