"""How class averages are weighted (``--classaverager``): the one choice, and where each is made.

Least squares, by default: the sum of w C X over the sum of w C^2, w a member's share of its
particle (`ClassAccumulator`; the noise and the particles' fit are always learnt from these). Sums
with other weights come from the same kernel, given other images and another CTF (`SumWeights`). Any
other averager sees the aligned images of one class at a time (`MemberAverager`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import scipy.fft

from mapsort.array_types import Float32, Indices, Int64, UInt8
from mapsort.model.class_averages import ClassAverages
from mapsort.model.half_sets import N_HALVES
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.modules.averagers import averaged
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.image_moves import transform_image
from mapsort.stages.fourier_grid import centred_transform
from mapsort.stages.prepare import ctf_coefficients


class Weighting(Enum):
    """The kinds of averages."""

    LEAST_SQUARES = "least squares"
    SUM = "a sum with other weights"
    BY_MEMBER = "any average of the members' images"


_KINDS = {
    **dict.fromkeys(("auto", "ctf.auto", "ctfw.auto"), Weighting.LEAST_SQUARES),
    **dict.fromkeys(("mean", "ctf.weight"), Weighting.SUM),
}
#: Averagers that take all members alike.
_ALIKE = ("median", "minmax")


def weighting_of(averager: str) -> Weighting:
    """Return how an averager is made; with parameters none of them is a sum."""
    return _KINDS.get(averager.strip(), Weighting.BY_MEMBER)


def takes_weights(averager: str) -> bool:
    """Return whether members can count by their share, as soft assignment has it."""
    return averager.partition(":")[0].strip() not in _ALIKE


@dataclass(frozen=True)
class SumWeights:
    """What a sum multiplies particles by, and what it counts them with.

    ``mean``: sum of sign(C) X over the number; ``ctf.weight``: sum of C |C| X over sum of C^2. The
    kernel multiplies by the CTF that it is told, c: with images multiplied by a and that c the
    sums are those of c a X and c^2.
    """

    spec: str
    flipped: bool
    apix: float

    def images(self, raw: Float32, ctf: ContrastTransfer | None) -> Float32:
        """Return images for the kernel, from raw ones (n, box, box)."""
        factor = self._factor(ctf, raw.shape[1])
        return raw if factor is None else filtered(raw, factor)

    def ctf(self, ctf: ContrastTransfer | None, n: int) -> Float32:
        """Return the CTF that the kernel is told, (n, 7)."""
        return ctf_coefficients(None if self.spec == "mean" else ctf, n, flipped=True)

    def _factor(self, ctf: ContrastTransfer | None, box: int) -> Float32 | None:
        if ctf is None:
            return None
        transfer = ctf_images(ctf, box, self.apix)
        if self.spec == "mean":
            return None if self.flipped else np.sign(transfer)
        return np.abs(transfer) if self.flipped else transfer


def filtered(images: Float32, factor: Float32) -> Float32:
    """Return images with their transforms multiplied, factors (n, box, box//2+1)."""
    box = images.shape[1]
    spectra = scipy.fft.rfft2(scipy.fft.ifftshift(images, axes=(1, 2))) * factor
    back = scipy.fft.irfft2(spectra, s=(box, box))
    return np.asarray(scipy.fft.fftshift(back, axes=(1, 2)), dtype=np.float32)


#: A class whose images would take more memory is averaged in groups, and the groups' averages
#: by their numbers.
GROUP_BYTES = 512 * 2**20


@dataclass(frozen=True)
class MemberAverager:
    """Averages classes one at a time from the images of their members."""

    #: The averager.
    spec: str
    #: Treated images (n, box, box) of particles by their numbers.
    read: Callable[[Int64], Float32]
    #: Of all particles.
    ctf: ContrastTransfer | None
    #: Whether phases are flipped already.
    flipped: bool
    #: Pixel size [A].
    apix: float
    #: Half-set of every particle, (n,).
    half: UInt8

    def averages(self, matches: Matches, membership: Membership, box: int) -> ClassAverages:
        """Return the averages of both halves as sums: the average times its number of images."""
        n_classes = membership.n_classes
        numerator = np.zeros((N_HALVES, n_classes, box, box // 2 + 1), dtype=np.complex64)
        density = np.zeros(numerator.shape, dtype=np.float32)
        count = np.zeros(n_classes, dtype=np.int64)
        for number in range(n_classes):
            members = np.arange(membership.start[number], membership.start[number + 1])
            members = members[membership.used[members]]
            count[number] = len(members)
            for half in range(N_HALVES):
                own = members[self.half[membership.particle[members]] == half]
                if len(own):
                    image, weight = self._one(matches, membership, own, box)
                    numerator[half, number] = weight * centred_transform(image[None])[0]
                    density[half, number] = weight
        return ClassAverages(numerator, density, count)

    def _one(
        self, matches: Matches, membership: Membership, members: Indices, box: int
    ) -> tuple[Float32, float]:
        """Return the average of some members, and their weight."""
        group = max(1, GROUP_BYTES // (4 * box * box))
        images, weights = [], []
        for first in range(0, len(members), group):
            part = members[first : first + group]
            particle = membership.particle[part]
            own = None if self.ctf is None else self.ctf[particle]
            aligned = self._aligned(matches, particle, membership.column[part], own)
            weight = membership.weight[part]
            images.append(
                averaged(self.spec, aligned, ctf=own, weights=weight, apix=self.apix).image
            )
            weights.append(float(weight.sum()))
        return np.average(images, axis=0, weights=weights).astype(np.float32), sum(weights)

    def _aligned(
        self, matches: Matches, particle: Int64, column: Int64, ctf: ContrastTransfer | None
    ) -> Float32:
        images = self.read(particle)
        if ctf is not None and not self.flipped:
            images = filtered(images, np.sign(ctf_images(ctf, images.shape[1], self.apix)))
        placed = matches.taken(particle, column)
        moved = [transform_image(image, placed.placing(row)) for row, image in enumerate(images)]
        return np.stack(moved)
