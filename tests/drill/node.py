"""Be one worker node of a Ray cluster until killed: `python -m tests.drill.node ADDRESS NAME`.

The node has one CPU and one unit of a resource with its name. (`ray start` joins no cluster on the loopback interface.)
"""

from __future__ import annotations

import signal
import sys

from ray._private.node import Node
from ray._private.parameter import RayParams

if __name__ == "__main__":
    address, name = sys.argv[1:]
    parameters = RayParams(
        gcs_address=address,
        redis_address=address,
        num_cpus=1,
        num_gpus=0,
        resources={name: 1},
        object_store_memory=100 * 2**20,
        min_worker_port=0,
        max_worker_port=0,
        node_manager_port=0,
        dashboard_agent_listen_port=None,
        include_log_monitor=False,
    )
    node = Node(parameters, head=False, shutdown_at_exit=True, spawn_reaper=False)
    while True:
        signal.pause()
