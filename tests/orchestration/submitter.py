"""Execute drawn runs without Ray as one of several submitters: `python submitter.py STORE_URI CACHE`.

Prints the id of each run that this process trained.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lesionlab.orchestration import attempts
from lesionlab.orchestration.execution import execute
from lesionlab.store.objects import open_store
from storage_schemas.runs import RunSpec
from tests.orchestration.test_cell import run_with_one_test


def drawn_runs(store_uri: str) -> list[RunSpec]:
    """Three short trainings."""
    run = run_with_one_test(open_store(store_uri))
    return [run.changed(seed=seed, training=run.training.model_copy(update={"epochs": 6})) for seed in range(3)]


class Tells(attempts.Attempt):
    """An attempt that prints its run."""

    def watched(self, worker):
        print(self.claim.lease.run_id, flush=True)
        return super().watched(worker)


if __name__ == "__main__":
    attempts.Attempt = Tells
    execute(drawn_runs(sys.argv[1]), open_store(sys.argv[1]), Path(sys.argv[2]), plain=True)
