"""Write the maps and class images of an iteration, and how alike maps are, every file whole."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from mapsort.array_types import Float32, Float64, Integer, Real
from mapsort.engines.chunks import chunk_ranges
from mapsort.io.hdf_header import HeaderValue
from mapsort.io.hdf_writer import HdfWriter
from mapsort.model.class_averages import ClassAverages
from mapsort.model.membership import Membership
from mapsort.physics.fsc import frequencies_per_ang, fsc, fsc_of_pairs
from mapsort.refinement.iteration import Outcome
from mapsort.refinement.map_masks import scaled_to_mass
from mapsort.refinement.reconstruction import Rebuilt, filtered_averages
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.text import write_fsc, write_fsc_xml
from mapsort.runfiles.projection_headers import projection_headers
from mapsort.runfiles.volumes import write_volume
from mapsort.stages.average.average import wiener_images
from mapsort.stages.fourier_grid import centred_images
from mapsort.stages.map_register import TOGETHER, Register, in_common_frame

#: Class averages and projections are turned into images in blocks of this many.
IMAGE_BLOCK = 256
#: An item of an EMAN2 header holds at most 64 KiB. Larger classes are in cls_result_YY.hdf only.
MOST_LISTED = 16_000


def write_seeds(run: Run, directory: RunDirectory, state: State) -> None:
    """Write the prepared seeds as threed_00_ZZ."""
    for model, volume in enumerate(state.references):
        path = directory.maps(0, model + 1)
        write_volume(path, scaled_to_mass(run, volume, model), run.inputs.apix)
    if state.halves is not None:
        for model, (even, odd) in enumerate(zip(*state.halves, strict=True)):
            write_half_maps(run, directory, 0, model, even, odd)


def write_half_maps(
    run: Run, directory: RunDirectory, iteration: int, model: int, even: Float32, odd: Float32
) -> None:
    """Write the half maps of one map (from 0)."""
    apix, number = run.inputs.apix, model + 1
    write_volume(directory.threed_even(iteration, number), even, apix)
    write_volume(directory.threed_odd(iteration, number), odd, apix)


def write_half_fsc(
    directory: RunDirectory,
    iteration: int,
    number: int,
    frequency_per_ang: Float64,
    curves: Mapping[str, Real],
) -> None:
    """Write the FSC of even and odd particles of a map (from 1): as text all, for EMDB the first.

    Curves are by their names, each (box//2 + 1,).
    """
    words, first = ", ".join(curves), next(iter(curves))
    title = f"FSC of even and odd particles of map {number}"
    columns = np.stack(list(curves.values()), axis=1)
    path = directory.fsc_eo(iteration, number)
    write_fsc(path, frequency_per_ang, columns, title=f"1/A, {title}: {words}")
    path = directory.fsc_xml(iteration, number)
    write_fsc_xml(path, frequency_per_ang, curves[first], title=f"mapsort {title}, {first}")


def _write_halves(run: Run, directory: RunDirectory, iteration: int, rebuilt: Rebuilt) -> None:
    frequency = frequencies_per_ang(run.plan.grid.box, run.inputs.apix)
    for model, item in enumerate(rebuilt.halves or ()):
        write_half_maps(run, directory, iteration, model, item.even, item.odd)
        write_half_fsc(directory, iteration, model + 1, frequency, item.curves.named)


def write_maps(run: Run, directory: RunDirectory, rebuilt: Rebuilt, previous: State) -> None:
    """Write maps, their filtered or sharpened versions, masks, FSC curves, half maps if apart."""
    iteration, apix = previous.iteration + 1, run.inputs.apix
    filtered = rebuilt.references if rebuilt.sharpened is None else rebuilt.sharpened
    for model in range(run.plan.n_models):
        number = model + 1
        for path, volume in (
            (directory.maps(iteration, number), rebuilt.maps[model]),
            (directory.threed_filt(iteration, number), filtered[model]),
        ):
            write_volume(path, scaled_to_mass(run, volume, model), apix)
        write_volume(directory.threed_mask(iteration, number), rebuilt.masks[model], apix)
        write_fsc(
            directory.fsc(iteration, number),
            frequencies_per_ang(run.plan.grid.box, apix),
            fsc(previous.references[model], rebuilt.references[model]),
            title=f"1/A, FSC of map {number} with that of iteration {iteration - 1}",
        )
    _write_halves(run, directory, iteration, rebuilt)


def _projection_headers(run: Run) -> list[dict[str, HeaderValue]]:
    return projection_headers(run.plan.references.model, run.plan.references.rotations)


def write_projections(run: Run, directory: RunDirectory, outcome: Outcome) -> None:
    """Write all projections, those of map 1 first."""
    headers, box = _projection_headers(run), run.plan.grid.box
    with (
        atomic_path(directory.projections(outcome.state.iteration)) as part,
        HdfWriter(part, apix=run.inputs.apix) as writer,
    ):
        for block in chunk_ranges(len(headers), IMAGE_BLOCK):
            images = centred_images(outcome.slices[block], box, n_threads=run.plan.n_threads)
            for image, header in zip(images, headers[block], strict=True):
                writer.append(image, header)
            run.execution.scratch.release()


def write_averages(run: Run, directory: RunDirectory, outcome: Outcome) -> None:
    """Write the class averages of an iteration."""
    iteration = outcome.state.iteration
    write_class_averages(
        directory.classes(iteration),
        run,
        _projection_headers(run),
        filtered_averages(run, outcome.averaged.averages, outcome.slices),
        outcome.averaged.membership,
        outcome.particle_noise_to_signal,
        projections=directory.projections(iteration).name,
        rejected=frozenset(outcome.rebuilt.rejected.tolist()),
    )


def write_class_averages(
    path: Path,
    run: Run,
    headers: list[dict[str, HeaderValue]],
    averages: ClassAverages,
    membership: Membership,
    noise_to_signal: Float64,
    *,
    projections: str,
    rejected: frozenset[int] = frozenset(),
) -> None:
    """Write class averages in the order of the projections; empty classes are zero.

    Those that were left out of their map (``rejected``) have ``threed_excl`` 1. ``headers`` are
    those of the projections, ``projections`` is their file's name.
    """
    source = str(run.inputs.particles.source)
    with atomic_path(path) as part, HdfWriter(part, apix=run.inputs.apix) as writer:
        for block in chunk_ranges(len(headers), IMAGE_BLOCK):
            images = wiener_images(averages, noise_to_signal, block, n_threads=run.plan.n_threads)
            for index, image in zip(range(block.start, block.stop), images, strict=True):
                header = headers[index] | {
                    "ptcl_repr": int(averages.count[index]),
                    "projection_image": projections,
                    "projection_image_idx": index,
                    "class_ptcl_src": source,
                }
                header |= _listed("class_ptcl_idxs", membership.members(index))
                header |= _listed("exc_class_ptcl_idxs", membership.excluded(index))
                if index in rejected:
                    header["threed_excl"] = 1
                writer.append(image, header)
            run.execution.scratch.release()


def _listed(name: str, numbers: Integer) -> dict[str, HeaderValue]:
    """Return a header item that lists particles, or one that says they are too many to list."""
    if not len(numbers):
        return {}
    if len(numbers) > MOST_LISTED:
        return {f"{name}_omitted": len(numbers)}
    return {name: [int(number) for number in numbers]}


LOGGER = logging.getLogger(__name__)


def write_mutual_fsc(run: Run, directory: RunDirectory, outcome: Outcome, *, ended: bool) -> None:
    """Write fsc_mutual_YY.txt, with its cost in proportion to the number of maps.

    Parameters
    ----------
    ended : bool
        Whether it is the last iteration, after which the maps' hands are told of.
    """
    n_models, apix = run.plan.n_models, run.inputs.apix
    if n_models == 1:
        return
    iteration, maps = outcome.state.iteration, outcome.rebuilt.maps
    found = in_common_frame(maps, run.plan.symmetries, apix=apix)
    if ended:
        _tell_hands(found)
    curves = fsc_of_pairs(item.applied(each) for item, each in zip(found, maps, strict=True))
    pairs = list(combinations(range(n_models), 2))
    columns = np.stack([curves[pair] for pair in pairs])
    names = ", ".join(f"{a + 1}-{b + 1}" for a, b in pairs)
    write_fsc(
        directory.fsc_mutual(iteration),
        frequencies_per_ang(run.plan.grid.box, apix),
        np.concatenate([columns.mean(axis=0, keepdims=True), columns]).T,
        title=f"1/A, mean FSC between maps in register, then of maps {names}",
    )


def _tell_hands(found: Sequence[Register]) -> None:
    """Warn of maps that are sure to lie in another hand than the first, in one line."""
    mirrored = [
        f"map {number} (correlation {item.correlation:.2f})"
        for number, item in enumerate(found, start=1)
        if item.mirrored and item.correlation >= TOGETHER
    ]
    if mirrored:
        LOGGER.warning(
            "in the other hand than map 1: %s; particles do not tell the hand, so compare them "
            "after mapsort process --process=xform.mirror:axis=z",
            ", ".join(mirrored),
        )
