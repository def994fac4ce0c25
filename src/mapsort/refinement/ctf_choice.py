"""Whether and how the contrast transfer of particles is treated."""

from __future__ import annotations

from mapsort.errors import ConfigError
from mapsort.model.particles import Particles
from mapsort.options.types import CtfHandling
from mapsort.physics.ctf import ContrastTransfer


def chosen_ctf(handling: CtfHandling, particles: Particles) -> ContrastTransfer | None:
    """Return the contrast transfer to treat, or None.

    Raises
    ------
    ConfigError
        If it is asked for and the particles' table has none, or the images were multiplied with it.
    """
    if handling is CtfHandling.NONE:
        return None
    ctf = particles.ctf
    if ctf is not None and particles.premultiplied:
        raise ConfigError(
            f"--ctf={handling.value}: the images of {particles.source} were multiplied with "
            "their CTF (rlnCtfDataAreCtfPremultiplied); extract them without, or use --ctf=none"
        )
    if ctf is None and handling is not CtfHandling.AUTO:
        raise ConfigError(
            f"--ctf={handling.value}: {particles.source} holds no CTF parameters "
            "(rlnDefocusU and so on); use --ctf=none"
        )
    return ctf


def are_flipped(handling: CtfHandling, particles: Particles) -> bool:
    """Return whether the images' phases were flipped where the CTF is negative."""
    if handling is CtfHandling.AUTO:
        return particles.phase_flipped
    return handling is CtfHandling.FLIPPED
