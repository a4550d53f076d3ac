"""Run one cell of a sweep in a new Ray session; its workers write digests of the credentials that they see.

`python sweep_with_credentials.py STORE_URI FOLDER WORKERS NAME...`: a digest of each named variable goes into FOLDER.
"""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from pathlib import Path

from lesionlab.orchestration.progress import SweepCell
from lesionlab.orchestration.room import Room
from lesionlab.orchestration.session import ray_session
from lesionlab.orchestration.sweep import run_sweep


def tell_credentials(worker, task):
    """Write digests: the credentials themselves must not be written anywhere."""
    seen = [sha256(os.environ.get(name, "").encode()).hexdigest() for name in task["names"].split()]
    Path(task["folder"], f"rank-{worker.rank}").write_text(" ".join(seen))


store_uri, folder, workers, *names = sys.argv[1:]
with ray_session(cpus=2):
    (outcome,) = run_sweep(
        tell_credentials,
        [SweepCell("cell", {"folder": folder, "names": " ".join(names)})],
        workers=int(workers),
        store_uri=store_uri,
        room=Room("cpu"),
    )
sys.exit(outcome.error)
