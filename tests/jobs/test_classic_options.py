"""Options of the original: what each changes in a run; the runs are tiny."""

from __future__ import annotations

import numpy as np
import pytest

import mapsort
from mapsort.errors import ConfigError
from mapsort.io.hdf import HdfReader
from mapsort.io.mrc import write_stack
from mapsort.io.star import read_particles, write_particles
from mapsort.physics.filters import apply_radial_curve, radial_power

BOX, APIX, N = 20, 6.4, 90
CLASS, WEIGHT, DX, DY, ALPHA, MIRROR = range(6)


def images_of(path):
    with HdfReader(path) as reader:
        return np.stack([reader.image(index) for index in range(reader.n_images)])


def headers_of(path):
    with HdfReader(path) as reader:
        return [reader.header(index) for index in range(reader.n_images)]


def classes(run):
    return run.assignments["rlnClassNumber"].to_numpy(int)


def classification(run, name="classify_01.hdf"):
    return images_of(run.path / name)


# --- comparison -----------------------------------------------------------------------------------


def test_shrink_leaves_frequencies_out(run_little, plain):
    full = plain.convergence[0]["highest_ring"]
    assert full > BOX // 4
    assert run_little(shrink=2).convergence[0]["highest_ring"] == BOX // 4
    assert run_little(shrink=1).convergence[0]["highest_ring"] == full


def test_two_stages_write_what_they_found(run_little, plain):
    run = run_little(twostage=2)
    n_references = len(headers_of(run.path / "projections_01.hdf"))
    n_clusters = 3 * int(np.sqrt(n_references))
    itself = images_of(run.path / "proj_simmx_01.hdf")
    assert itself.shape == (6, n_references, n_references)
    # squared correlations, negated: nothing is more like a reference than itself
    np.testing.assert_allclose(np.diagonal(itself[0]), -1.0, atol=1e-5)
    assert itself[0].min() >= -1.0
    assert images_of(run.path / "simmx_stg1_01.hdf").shape == (6, N, n_clusters)
    headers = headers_of(run.path / "proj_stg1_01.hdf")
    members = [np.atleast_1d(header["class_ptcl_idxs"]) for header in headers]
    assert len(members) == n_clusters
    times = np.bincount(np.concatenate(members), minlength=n_references)
    assert (times == 2).all()
    # what was not compared comes last, unaligned
    matrix = images_of(run.path / "simmx_01.hdf")
    worst = matrix[0].max(axis=1, keepdims=True)
    filled = np.isclose(matrix[0], worst, atol=1e-6) & (matrix[DX - 1] == 0)
    assert filled.mean() > 0.5
    same = classes(run) == classes(plain)
    assert same.mean() > 0.8


def test_too_few_references_are_compared_in_one_stage(run_little):
    run = run_little(twostage=2, sym=("oct",), orientgen="eman:delta=60")
    assert len(headers_of(run.path / "projections_01.hdf")) < 6
    assert not (run.path / "proj_stg1_01.hdf").exists()


@pytest.mark.parametrize(
    ("aligner", "fixed"),
    [
        ("rotate_translate_flip:flip=0", (MIRROR,)),
        ("translational", (ALPHA, MIRROR)),
        ("rotational", (DX, DY, MIRROR)),
    ],
)
def test_an_aligner_changes_only_what_it_may(run_little, plain, aligner, fixed):
    matrix = classification(run_little(simalign=aligner))
    whole = classification(plain)
    for part in (DX, DY, ALPHA, MIRROR):
        assert whole[part].any()
        assert matrix[part].any() == (part not in fixed)


def test_an_aligner_may_limit_the_shift(run_little):
    matrix = classification(run_little(simalign="rotate_translate_flip:maxshift=1"))
    assert np.hypot(matrix[DX], matrix[DY]).max() <= np.sqrt(2) + 1e-5


def test_without_refinement_poses_stay_on_the_lattice(run_little, plain):
    def distinct(run):
        matrix = classification(run)
        a = np.deg2rad(matrix[ALPHA].astype(float))
        x = np.cos(a) * matrix[DX] - np.sin(a) * matrix[DY]
        return len(np.unique(np.round(x, 3)))

    assert distinct(plain) > 0.8 * N
    assert distinct(run_little(simralign="none")) < 0.4 * N
    limited, free = (
        classification(run_little(simralign=f"refine:maxshift={change}")) for change in (0.05, 50)
    )
    assert not np.array_equal(limited[DX], free[DX])
    np.testing.assert_array_equal(free[DX], classification(plain)[DX])


@pytest.mark.parametrize(
    "options",
    [
        {"simaligncmp": "ccc"},
        {"simraligncmp": "phase"},
        {"simcmp": "frc:zeromask=1:snrweight=1"},
        {"simcmp": "lod:normalize=1"},
        {"prefilt": True},
        {"simalign": "rotate_translate_flip:rmax=9"},
        {"simalign": "rotate_translate_tree:maxres=20"},
    ],
    ids=str,
)
def test_what_is_compared_and_how_counts(run_small, small_run, options):
    run, plain = run_small(**options), small_run()
    one, other = classification(run), classification(plain)
    assert not np.array_equal(one[DX], other[DX])
    # the maps are found all the same, more often than by chance (0.5, deviation 0.046)
    if "prefilt" not in options:
        assert (classes(run) == classes(plain)).mean() > 0.6


def test_filtered_particles_are_compared_in_place_of_the_others(
    run_little, plain, little, tmp_path
):
    optics, table = read_particles(little.particles)
    write_particles(
        tmp_path / "same.star",
        optics,
        table.assign(rlnImageName=[f"{i + 1:06d}@{little.stack}" for i in range(N)]),
    )
    same = run_little(usefilt=tmp_path / "same.star")
    # filtering by a response of 1 rounds
    np.testing.assert_array_equal(classes(same), classes(plain))
    np.testing.assert_allclose(classification(same)[DX], classification(plain)[DX], atol=0.01)
    curve = np.exp(-((np.arange(BOX // 2 + 1) / 5.0) ** 2))
    raw = mapsort.Particles.open(little.particles).images(slice(None))
    smooth = np.stack([apply_radial_curve(image, curve) for image in raw])
    write_stack(tmp_path / "smooth.mrcs", smooth, APIX)
    write_particles(
        tmp_path / "smooth.star",
        optics,
        table.assign(rlnImageName=[f"{i + 1:06d}@smooth.mrcs" for i in range(N)]),
    )
    run = run_little(usefilt=tmp_path / "smooth.star")
    assert not np.array_equal(classification(run)[DX], classification(plain)[DX])
    # averages are made of the others: they reach higher frequencies
    power = []
    for directory in (run.path, plain.path):
        averages = images_of(directory / "classes_01.hdf")
        power.append(np.mean([radial_power(np.fft.rfft2(image)) for image in averages], axis=0))
    assert power[0][10] > 0.3 * power[1][10]


def test_filtered_particles_must_be_as_many(run_little, little, tmp_path):
    optics, table = read_particles(little.particles)
    short = table.iloc[: N - 1].assign(
        rlnImageName=[f"{i + 1:06d}@{little.stack}" for i in range(N - 1)]
    )
    write_particles(tmp_path / "short.star", optics, short)
    with pytest.raises(ConfigError, match=rf"--usefilt=.*holds {N - 1} images of {BOX} pixels"):
        run_little(usefilt=tmp_path / "short.star")


def test_lowmem_finds_the_same_and_keeps_less(run_little, plain):
    run = run_little(lowmem=True)
    assert (classes(run) == classes(plain)).mean() > 0.98
    assert (run.path / "simmx_01.h5").exists()
    assert not (run.path / "simmx_01.hdf").exists()


# --- class averages -------------------------------------------------------------------------------


def test_members_are_aligned_with_their_average(run_little, plain):
    def moved(run):
        before, after = classification(run), classification(run, "cls_result_01.hdf")
        np.testing.assert_array_equal(before[CLASS], after[CLASS])
        turned = np.abs((after[ALPHA] - before[ALPHA] + 180) % 360 - 180)
        return float(np.median(turned))

    assert moved(plain) == 0
    with_averages, automatic = run_little(classiter=1), run_little(classiter=1, classautomask=True)
    # not far from where they lay: they see their own noise in a little class's average
    assert 0 < moved(with_averages) < 20
    assert moved(with_averages) != moved(automatic)


@pytest.mark.parametrize(
    "options",
    [
        {"classalign": "rotate_translate"},
        {"classaligncmp": "phase"},
        {"classralign": "none"},
        {"classraligncmp": "phase"},
    ],
    ids=str,
)
def test_members_are_aligned_with_their_projection_if_asked(run_little, options):
    run = run_little(**options)
    before, after = (classification(run, name) for name in ("classify_01.hdf", "cls_result_01.hdf"))
    assert not np.array_equal(before[DX], after[DX])
    if "classalign" in options:
        # what is not mirrored by the aligner lies on a reference that is no mirror image
        assert before[MIRROR].any()
        assert not after[MIRROR].any()


def test_members_are_kept_by_the_comparator_asked_for(run_little):
    by_quality, by_comparator = (
        run_little(classkeep=0.5, **options) for options in ({}, {"classcmp": "ccc"})
    )
    used = [classification(run, "cls_result_01.hdf")[WEIGHT] for run in (by_quality, by_comparator)]
    # half of each class, rounded up
    assert used[0].sum() == used[1].sum() < 0.8 * N
    assert not np.array_equal(*used)


@pytest.mark.parametrize("averager", ["mean", "ctf.weight", "median", "ctf.weight.autofilt"])
def test_averagers_make_other_averages_of_the_same_members(run_little, plain, averager):
    run = run_little(classaverager=averager)
    np.testing.assert_array_equal(classification(run), classification(plain))
    correlation = np.corrcoef(run.maps[0].data.ravel(), plain.maps[0].data.ravel())[0, 1]
    assert 0.6 < correlation < 0.995


def test_particles_are_normalised_as_asked(run_little, plain):
    run = run_little(classnormproc="normalize.edgemean")
    correlation = np.corrcoef(run.maps[0].data.ravel(), plain.maps[0].data.ravel())[0, 1]
    assert 0.98 < correlation < 1 - 1e-6
    # one scale for all images is no normalisation: it is that of the particles
    scaled = run_little(classnormproc="normalize.edgemean,math.linear:scale=50")
    np.testing.assert_allclose(
        scaled.maps[0].data, run.maps[0].data, atol=1e-3 * run.maps[0].data.max()
    )
    with pytest.raises(ConfigError, match="change the size"):
        run_little(classnormproc="math.meanshrink:n=2")


# --- maps -----------------------------------------------------------------------------------------


def shell_power(run, model=0):
    return radial_power(np.fft.rfftn(run.maps[model].data))[: BOX // 2]


def test_maps_get_a_structure_factor(run_small, small_run, tmp_path):
    s = np.arange(1, 17) / 128.0
    runs = []
    for number, fall in enumerate((100, 0)):
        curve = tmp_path / f"{number}.txt"
        np.savetxt(curve, np.column_stack([s, np.exp(-s * fall)]))
        runs.append(run_small(m3dsetsf=str(curve)))
    shells = np.arange(2, 7)
    steep, gentle = (
        np.polyfit(shells / 128.0, np.log(shell_power(run)[shells]), 1)[0] for run in runs
    )
    # 100 apart; the mask and what the maps hold of signal bend both
    assert steep < gentle - 50
    measured = run_small(m3dsetsf="auto")
    correlation = np.corrcoef(measured.maps[0].data.ravel(), small_run().maps[0].data.ravel())[0, 1]
    assert 0.9 < correlation < 0.9999


@pytest.mark.parametrize("content", ["1 2 3\n", "0.1 5\n0.05 4\n", "0.1 -1\n0.2 1\n", None])
def test_a_bad_structure_factor_is_refused(run_little, tmp_path, content):
    path = tmp_path / "sf.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match="--m3dsetsf="):
        run_little(m3dsetsf=str(path))


def test_maps_are_processed_in_order(run_little, plain):
    smooth = run_little(m3dpostprocess="filter.lowpass.gauss:cutoff_freq=0.03")
    assert shell_power(smooth)[6] < 0.3 * shell_power(plain)[6]
    # one number for all maps restores the scale
    scaled = run_little(m3dpostprocess="math.linear:scale=7,math.linear:scale=2")
    np.testing.assert_allclose(scaled.maps[0].data, plain.maps[0].data, rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match="changes the size"):
        run_little(m3dpostprocess="math.meanshrink:n=2")


def test_averages_are_processed_before_they_enter_a_map(run_small, small_run):
    plain = small_run()
    same = run_small(m3dpreprocess="math.linear:scale=3")
    np.testing.assert_allclose(
        # as far as maps are solved
        same.maps[0].data,
        plain.maps[0].data,
        atol=5e-3 * plain.maps[0].data.max(),
    )
    cut = run_small(m3dpreprocess="mask.sharp:outer_radius=5")
    z, y, x = np.indices((32,) * 3) - 16
    outside = z**2 + y**2 + x**2 > 49
    share = [
        float((d[outside] ** 2).sum() / (d**2).sum())
        for d in (r.maps[0].data for r in (cut, plain))
    ]
    # 0.51 when this was written: less of the averages' noise reaches the map out there, but the
    # density near the cut rings farther out
    assert share[0] < 0.7 * share[1]


# --- files ----------------------------------------------------------------------------------------


def test_maps_as_hdf(run_tiny):
    run, plain = run_tiny(format="hdf"), run_tiny()
    for name in ("threed_00_01", "threed_01_02", "threed_filt_01_01", "threed_mask_01_01"):
        assert not (run.path / f"{name}.mrc").exists()
        one = mapsort.Volume.open(run.path / f"{name}.hdf")
        other = mapsort.Volume.open(plain.path / f"{name}.mrc")
        assert one.apix == pytest.approx(other.apix)
        np.testing.assert_array_equal(one.data, other.data)
    assert mapsort.split(run.path).path.exists()


@pytest.mark.parametrize(("kept", "left"), [("all", {1, 2}), ("last", {2}), ("maps", set())])
def test_files_that_stay(run_tiny, kept, left):
    run = run_tiny(iter=2, keepfiles=kept)
    for stem in ("projections", "simmx", "classify", "classes", "cls_result"):
        assert {n for n in (1, 2) if (run.path / f"{stem}_{n:02d}.hdf").exists()} == left
    for name in ("threed_01_01.mrc", "threed_02_02.mrc", "particles_01.star", "fsc_01_01.txt"):
        assert (run.path / name).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"twostage": -1}, "--twostage=-1: expected a whole number from 0"),
        ({"shrink": 1.5}, "--shrink=1.5: expected a whole number from 0"),
        ({"classiter": -1}, "--classiter=-1: expected a whole number from 0"),
        ({"classcmp": "cc"}, r"--classcmp=cc: .*did you mean ccc\?"),
        ({"classalign": "refine"}, "--classalign=refine: aligner refine: it starts from a pose"),
        ({"classaligncmp": "optvariance"}, "--classaligncmp=optvariance: .*aligned pairs"),
        ({"classralign": "rotational"}, "--classralign=rotational: .*expected refine"),
        ({"classraligncmp": "frc:maxre=3"}, "--classraligncmp=frc:maxre=3: .*maxres"),
        ({"classaverager": "means"}, r"--classaverager=means: .*did you mean mean\?"),
        ({"classnormproc": "normalise"}, r"--classnormproc=normalise: .*did you mean normalize"),
        ({"m3dpreprocess": "mask.shrap"}, "--m3dpreprocess=mask.shrap: .*mask.sharp"),
        ({"m3dpostprocess": "mask.sharp,x"}, "--m3dpostprocess=mask.sharp,x: unknown processor"),
        ({"format": "spi"}, "--format=spi: expected one of mrc, hdf"),
        ({"keepfiles": "some"}, "--keepfiles=some: expected one of all, last, maps"),
        ({"usefilt": "nowhere.star"}, "nowhere.star"),
        ({"classaverager": "median", "assign": "soft"}, "--classaverager=median: .*--assign"),
    ],
)
def test_bad_values_are_refused_before_any_work(run_little, tmp_path, options, message):
    with pytest.raises((ConfigError, mapsort.errors.FormatError), match=message):
        run_little(**options)
    assert list(tmp_path.iterdir()) == []
