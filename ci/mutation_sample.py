"""Keep a random sample of the faults of a cosmic-ray session: SESSION.sqlite N SEED."""

from __future__ import annotations

import random
import sqlite3
import sys
from contextlib import closing


def main(session: str, n: int, seed: int) -> None:
    """Drop all faults but `n`; what only touches type annotations (a | b) changes nothing."""
    with closing(sqlite3.connect(session)) as database, database:
        rows = database.execute("select job_id, operator_name from mutation_specs").fetchall()
        meaningful = sorted(job for job, operator in rows if "BitOr" not in operator)
        kept = set(random.Random(seed).sample(meaningful, min(n, len(meaningful))))
        dropped = [(job,) for job, _ in rows if job not in kept]
        for table in ("mutation_specs", "work_items"):
            database.executemany(f"delete from {table} where job_id = ?", dropped)
    print(f"{len(kept)} of {len(rows)} faults")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
