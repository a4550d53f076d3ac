"""Run a Ray cluster of one node on this machine until standard input ends; print the address of its dashboard.

`python -m tests.clusters.ray_head FOLDER CPUS`; the token is that of RAY_AUTH_TOKEN.
"""

from __future__ import annotations

import sys

from lesionlab import orchestration  # before Ray: it sets Ray's environment

assert not orchestration.TOO_LATE

import ray  # noqa: E402

context = ray.init(
    address="local",
    num_cpus=int(sys.argv[2]),
    resources={"driver": 10},
    object_store_memory=100 * 2**20,
    include_dashboard=True,
    _temp_dir=sys.argv[1],
    log_to_driver=False,
)
print(f"http://{context.dashboard_url}", flush=True)
sys.stdin.read()
