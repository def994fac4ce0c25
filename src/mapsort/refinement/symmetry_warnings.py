"""Warn of starting maps that do not have the symmetry that is asked for."""

from __future__ import annotations

from mapsort.geometry.symmetry import symmetry
from mapsort.options.multi import MultiOptions
from mapsort.physics.symmetry_check import check_symmetry
from mapsort.refinement.focus import mask_warning
from mapsort.refinement.inputs import MultiInputs


def symmetry_warnings(options: MultiOptions, inputs: MultiInputs) -> list[str]:
    """Return a line for every starting map that disagrees with its ``--sym``.

    A symmetry about other axes than the map's smears it out; the refinement would not complain.
    """
    lines = []
    for path, seed, name in zip(options.models, inputs.seeds, options.symmetries, strict=True):
        finding = check_symmetry(seed, symmetry(name), apix=inputs.apix)
        if not finding.agrees:
            lines.append(f"--sym={name}: {path} {finding}")
    if inputs.focus is not None:
        groups = {name: symmetry(name) for name in options.symmetries}
        found = [mask_warning(options, inputs.focus, g, inputs.apix) for g in groups.values()]
        lines += [line for line in found if line is not None]
    return lines
