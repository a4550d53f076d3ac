"""Start the nodes of a RayJob as Ray nodes of this machine, then its command; end with the command's exit code.

`python -m tests.clusters.ray_nodes JOB.json`; killed with all its descendants, it is a cluster that was deleted.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

GPU = "nvidia.com/gpu"


def main(job: dict[str, Any]) -> int:
    spec = job["spec"]["rayClusterSpec"]
    head = {name: float(amount) for name, amount in spec["headGroupSpec"]["resources"].items()}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": head.pop("CPU"), "resources": head})
    for group in spec["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        for _ in range(group["replicas"]):
            cluster.add_node(num_cpus=int(limits["cpu"]), num_gpus=int(limits.get(GPU, 0)))
    environment = os.environ | {"RAY_ADDRESS": cluster.address}
    code = subprocess.run(shlex.split(job["spec"]["entrypoint"]), env=environment, check=False).returncode
    cluster.shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text())))
