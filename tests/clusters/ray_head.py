"""Run a Ray cluster of one node on this machine until standard input ends; print the address of its dashboard.

`python -m tests.clusters.ray_head FOLDER CPUS`; the token is that of RAY_AUTH_TOKEN.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from lesionlab import orchestration  # before Ray: it sets Ray's environment

assert not orchestration.TOO_LATE

from ray.cluster_utils import Cluster  # noqa: E402

(Path(tempfile.gettempdir()) / "ray").mkdir(exist_ok=True)  # Ray writes its address there, and does not make the folder
# Free ports: by default a node's agent wants 52365, and takes no jobs where another Ray of this machine has it.
head = Cluster(
    initialize_head=True,
    head_node_args={
        "num_cpus": int(sys.argv[2]),
        "resources": {"driver": 10},
        "object_store_memory": 100 * 2**20,
        "include_dashboard": True,
        "dashboard_port": None,
        "dashboard_agent_listen_port": None,
        "temp_dir": sys.argv[1],
    },
)
print(f"http://{head.webui_url}", flush=True)
sys.stdin.read()
head.shutdown()
