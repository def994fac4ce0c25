"""Figures of the verdict on many small sets, at poses that are known to 2 degrees and 0.4 pixels.

    python benchmarks/bench_verdict.py DATA --tools DIR [--only populations,split,number,junk]

Sets are made by ``simulate_real.py`` in DIR, half of them with all that goes wrong on a grid and
half without; ``--sets`` says how many of each kind. The first labels are the true ones, a tenth of
them drawn by lot.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from whole_runs import Classes, simulated

from mapsort.array_types import Float64
from mapsort.engines.progress import SilentProgress
from mapsort.io.star import read_particles
from mapsort.jobs.consensus import Consensus, classes_at
from mapsort.jobs.multi import opened
from mapsort.jobs.verdict import judged_at
from mapsort.options.multi import MultiOptions
from mapsort.refinement.run import Run
from mapsort.rundir.verdict_record import SUPPORTED, PopulationRecord, Split
from mapsort.stages.components.band import Band
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.found_classes import FoundClasses

#: Part of the first labels that is drawn by lot.
WRONG = 0.1
SIZES = ("--box", "48", "--apix", "6.9")


@dataclass(frozen=True)
class Set:
    """Particles, and what is true of them."""

    data: Path
    run: Run
    truth: Classes
    labels: Classes

    def judged(self) -> tuple[Split, PopulationRecord | None]:
        """Return the verdict at the poses that are known."""
        return judged_at(self.run, *self.poses, self.labels)

    def found(self) -> FoundClasses:
        """Return the classes that are found at these poses."""
        return classes_at(self.run, Consensus(*self.poses), ComponentSettings())

    @property
    def poses(self) -> tuple[Float64, Float64]:
        """Rotations and origins."""
        assert self.run.inputs.poses is not None, "they are given"
        return self.run.inputs.poses

    @property
    def shares(self) -> tuple[float, ...]:
        """Shares of the classes among particles."""
        counts = np.bincount(self.truth)[1:]
        return tuple(counts / counts.sum())


def made(arguments: argparse.Namespace, name: str, count: int | None, *words: str) -> Set:
    """Simulate a set; the run is to find so many classes in it, or (None) their number."""
    data = simulated(arguments.tools, arguments.data / name, *SIZES, *words)
    options = MultiOptions(
        input=data / "posed.star",
        model=data / "consensus.mrc",
        nmodels=count,
        skipalign=True,
        randomseed=1,
        parallel="thread:1",
        path=data / "run",
    )
    run = opened(options.validated(), SilentProgress())
    band = Band.widest(run.plan.grid.box, run.inputs.apix)
    _, table = read_particles(data / "particles_truth.star")
    truth = table["rlnClassNumber"].to_numpy(np.int64)
    rng, k = np.random.default_rng(5), count or max(2, int(truth.max()))
    lot = (truth < 1) | (rng.random(len(truth)) < WRONG) | (truth.max() < 2)
    labels = np.where(lot, rng.integers(1, k + 1, len(truth)), truth)
    return Set(data, replace(run, plan=replace(run.plan, band=band)), truth, labels)


def kinds(count: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield seeds, and how sets are made: in turn with and without what goes wrong."""
    for number in range(count):
        yield 500 + number, () if number % 2 == 0 else ("--clean",)


def populations(arguments: argparse.Namespace) -> None:
    """Tell how often 95 % intervals of the shares hold the truth."""
    for fractions, states in (
        ("0.9,0.1", "1111,1011"),
        ("0.7,0.3", "1111,0111"),
        ("0.5,0.3,0.2", "1111,1011,0111"),
    ):
        inside: dict[bool, list[float]] = {False: [], True: []}
        for seed, words in kinds(arguments.sets):
            name = f"pop_{fractions}_{seed}"
            size = ("--n", "1500", "--seed", str(seed), "--fractions", fractions)
            item = made(arguments, name, len(states.split(",")), "--states", states, *size, *words)
            _, held = item.judged()
            if held is None:
                print(name, "not judged")
                continue
            shares, errors = np.array(held.shares), np.array(held.errors)
            off, drawn = shares - item.shares, np.array(item.shares)
            real = np.array([float(part) for part in fractions.split(",")])
            counts = np.array(held.counts) / sum(held.counts) - drawn
            # of two shares one is free
            free = slice(1, None) if len(real) == 2 else slice(None)
            inside[bool(words)] += list((np.abs(shares - real) < 1.96 * errors)[free])
            print(
                name,
                *words,
                f"off {off.round(3)} error {errors.round(3)} counts {counts.round(3)}"
                f" z {((shares - real) / errors).round(2)} T {held.temperature:.2f} calibration "
                f"{held.calibration_error:.3f}",
                flush=True,
            )
        for clean, found in inside.items():
            print(f"{fractions} {'clean' if clean else 'real'}: {sum(found)} of {len(found)}")


def split(arguments: argparse.Namespace) -> None:
    """Tell the verdict on one structure, as two and four classes, and on two structures."""
    for states, count in (("1111", 2), ("1111", 4), ("1111,1011", 2)):
        gains, errors, supported = [], [], 0
        for seed, words in kinds(arguments.sets):
            size = ("--n", "2000", "--seed", str(seed))
            item = made(
                arguments, f"split_{states}_{seed}", count, "--states", states, *size, *words
            )
            found, _ = item.judged()
            print(
                states,
                count,
                seed,
                *words,
                found.verdict,
                found.gain_nats,
                found.error_nats,
                found.p_value,
                flush=True,
            )
            gains.append(found.gain_nats or 0.0)
            errors.append(found.error_nats or np.inf)
            supported += found.verdict == SUPPORTED
        ratio = np.divide(gains, errors)
        print(
            f"{states} as {count}: {supported} of {len(gains)} supported; gain "
            f"{min(gains):.2f} to {max(gains):.2f}, mean {np.mean(gains):.2f}; in standard errors "
            f"{ratio.min():.1f} to {ratio.max():.1f}"
        )


def junk(arguments: argparse.Namespace) -> None:
    """Tell what is made of one structure among much junk."""
    for seed in range(500, 500 + arguments.sets):
        size = ("--n", "2000", "--seed", str(seed), "--junk", "0.15")
        item = made(arguments, f"junk_{seed}", 2, "--states", "1111", *size)
        found, _ = item.judged()
        classes = item.found()
        put, there = classes.junk > 0.5, item.truth < 1
        print(
            f"junk {seed}: split {found.verdict}, gain {found.gain_nats}; junk found "
            f"{put[there].mean():.3f}, particles lost {put[~there].mean():.3f}",
            flush=True,
        )


def number(arguments: argparse.Namespace) -> None:
    """Tell how many classes are found where their number is not given."""
    right = total = 0
    for states in ("1111", "1111,1011", "1111,1011,0111,0011"):
        for seed, words in kinds(arguments.sets):
            size = ("--n", "2000", "--seed", str(seed))
            item = made(
                arguments, f"number_{states}_{seed}", None, "--states", states, *size, *words
            )
            found = item.found()
            count, true = found.responsibilities.shape[1], len(states.split(","))
            right, total = right + (count == true), total + 1
            print(f"{true} states, {seed} {' '.join(words)}: {count}", flush=True)
    print(f"right: {right} of {total}")


FIGURES = {"populations": populations, "split": split, "number": number, "junk": junk}


def main() -> None:
    """Print the figures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="directory for the sets")
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--only", default=",".join(FIGURES))
    parser.add_argument("--sets", type=int, default=10)
    arguments = parser.parse_args()
    for name in arguments.only.split(","):
        print(f"--- {name}")
        FIGURES[name](arguments)


if __name__ == "__main__":
    main()
