"""``mapsort average``: class averages from projections, particles and a classification matrix."""

from __future__ import annotations

from threadpoolctl import threadpool_limits

from mapsort.engines.progress import Progress
from mapsort.jobs.stage_inputs import read_classes, stage_run
from mapsort.options.stages import AverageStageOptions
from mapsort.refinement.averaging import average_classes, chosen_by_quality, filtered_averages
from mapsort.refinement.iteration import particle_noise_to_signal
from mapsort.refinement.plan import noise_floor
from mapsort.runfiles.maps import write_class_averages
from mapsort.runfiles.matrices import classification_images, write_matrices
from mapsort.stages.project import image_slices


def class_averages(
    options: AverageStageOptions, *, progress: Progress | None = None
) -> tuple[int, int]:
    """Average classes and write the averages, and on request who is in them.

    Returns
    -------
    tuple of int
        Number of particles averaged, and of classes with particles.

    Raises
    ------
    FormatError, ConfigError
        Before any work: what is wrong with the request or its input.
    """
    run, state, projections = stage_run(options, progress)
    n_classes = len(projections.references)
    matches, membership = read_classes(options.files[2], len(run.inputs.particles), n_classes)
    slices = image_slices(projections.images, n_threads=run.plan.n_threads)
    ratio = particle_noise_to_signal(slices, state.noise_power)
    with threadpool_limits(run.plan.n_threads):
        membership = chosen_by_quality(run, state, projections.images, matches, membership)
        made = average_classes(run, state, slices, matches, membership, ratio, iteration=0)
        # what the projections do not explain of the particles is the noise, as in a run
        residual = made.statistics.residual_power(made.statistics.scale(state.noise_power))
        write_class_averages(
            options.out,
            run,
            projections.headers,
            filtered_averages(run, made.averages, slices),
            made.membership,
            particle_noise_to_signal(slices, noise_floor(residual)),
            projections=options.files[0].name,
        )
    if options.result is not None:
        columns = matches.reference.shape[1]
        members = made.membership
        images = classification_images(made.matches, members, members.used, columns)
        write_matrices(options.result, (len(matches), columns), images, run.execution.scratch)
    return int(made.membership.used.sum()), int((made.averages.count > 0).sum())
