"""Run a small sweep on two Ray nodes and read their exporters meanwhile, as Prometheus does; print what was found.

`python -m tests.infra.measured_sweep FOLDER`: JSON, the labels of each metric of lesionlab by its name.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

os.environ["RAY_metrics_report_interval_ms"] = "1000"  # noqa: SIM112  Ray's own spelling

from lesionlab import orchestration  # before Ray: it sets Ray's environment

assert not orchestration.TOO_LATE

import ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from jobs.shared.stages import pretrain_sources, sweep_experiment  # noqa: E402
from lesionlab.errors import StoreUnreachable  # noqa: E402
from lesionlab.experiments.measures import MEASURES  # noqa: E402
from lesionlab.experiments.spec_files import read_spec  # noqa: E402
from lesionlab.orchestration.room import Room  # noqa: E402
from lesionlab.orchestration.session import ray_session  # noqa: E402
from lesionlab.store.objects import open_store  # noqa: E402
from lesionlab.store.patience import Patience  # noqa: E402
from tests.drill.experiment import spec, store_cohorts  # noqa: E402

SAMPLE = re.compile(r"^(ray_lesionlab_\w+)\{(.*)\} (\S+)$", re.MULTILINE)
STAYS_S = 30.0


def scrape(found: dict[str, set[str]], ports: list[int]) -> None:
    for port in ports:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            for name, labels, _ in SAMPLE.findall(answer.read().decode()):
                found.setdefault(name, set()).add(",".join(re.findall(r'(\w+)="', labels)))


def fails_once(again: bool) -> None:
    if not again:
        raise StoreUnreachable("a server that is restarted")


def main(folder: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "resources": {"driver": 10}})
    cluster.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = cluster.address
    store = open_store((folder / "store").as_uri())
    store_cohorts(store)
    (folder / "experiment.yaml").write_text(spec(200))
    experiment, room = read_spec(folder / "experiment.yaml"), Room("cpu")
    found: dict[str, set[str]] = {}
    with ray_session():
        ports = [node["MetricsExportPort"] for node in ray.nodes()]
        ended = threading.Event()

        def read() -> None:
            while not ended.wait(0.5):
                scrape(found, ports)

        reader = threading.Thread(target=read)
        reader.start()
        pretrain_sources(experiment, store, folder / "cache", plain=False, room=room)
        sweep_experiment(experiment, store, folder / "cache", plain=False, room=room)
        Patience(sleep=lambda seconds: None).insist(fails_once)
        end = time.monotonic() + STAYS_S
        while {measure.exported for measure in MEASURES} - found.keys() and time.monotonic() < end:
            time.sleep(0.5)
        ended.set()
        reader.join()
    cluster.shutdown()
    print(json.dumps({name: sorted(labels) for name, labels in found.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
