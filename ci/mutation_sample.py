"""Keep a random sample of the faults of a cosmic-ray session: SESSION.sqlite N SEED."""

from __future__ import annotations

import random
import sys
from contextlib import suppress
from pathlib import Path

import cosmic_ray.plugins
from cosmic_ray.mutating import mutate_code
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, WorkItem


def main(session: str, n: int, seed: int) -> None:
    """Drop all faults but `n`, drawn at random among those that are programs."""
    with use_db(session, WorkDB.Mode.open) as database:
        # By what they are, not by their random names: the same seed is the same sample.
        items = sorted(database.work_items, key=lambda item: repr(item.mutations))
        random.Random(seed).shuffle(items)
        kept: list[WorkItem] = []
        for item in items:
            if len(kept) < n and _is_fault(item.mutations[0]):
                kept.append(item)
        database.clear()
        database.add_work_items(kept)
    print(f"{len(kept)} of {len(items)} faults")


def _is_fault(fault: MutationSpec) -> bool:
    """Leave out annotations (a | b), which change nothing, and what is no Python any more.

    The operators take the stars of arguments and of unpacked mappings for products.
    """
    if "BitOr" in fault.operator_name:
        return False
    operator = cosmic_ray.plugins.get_operator(fault.operator_name)(**fault.operator_args)
    changed = mutate_code(Path(fault.module_path).read_text(), operator, fault.occurrence)
    if changed is None:
        return False
    with suppress(SyntaxError):
        compile(changed, str(fault.module_path), "exec")
        return True
    return False


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
