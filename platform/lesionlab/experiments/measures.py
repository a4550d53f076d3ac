"""List what lesionlab measures while it works, and which values deserve an alert.

It is the one list: the code that emits measures takes their names from here, and `lesionlab.clusters.monitoring` writes
the Prometheus rules, the Grafana dashboard and the manual's table from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PREFIX = "ray_"
"""Ray's exporter puts it before the name of every measure of an application."""


@dataclass(frozen=True)
class Measure:
    """One measure; `labels` are its own, beside those that Ray and Prometheus add (node, pod, namespace)."""

    name: str
    kind: Literal["gauge", "counter"]
    meaning: str
    labels: tuple[str, ...]
    panel: str
    """PromQL of its panel; SELF stands for the exported name."""
    unit: str
    """Grafana's name of the unit."""

    @property
    def exported(self) -> str:
        """Its name in Prometheus."""
        return PREFIX + self.name


@dataclass(frozen=True)
class Alert:
    """A condition that somebody should look at."""

    name: str
    when: str
    """PromQL; names of measures in braces."""
    lasts: str
    severity: Literal["warning", "critical"]
    means: str
    todo: str


CELLS = Measure(
    "lesionlab_cells",
    "gauge",
    "Runs of a sweep by state: done, failed, running, left.",
    ("experiment", "state"),
    "max by (namespace, experiment, state) (SELF)",
    "short",
)
WAITING = Measure(
    "lesionlab_waiting",
    "gauge",
    "1 while a sweep waits for this: nodes (room for its runs), others (another submission executes its runs).",
    ("experiment", "what"),
    "max by (namespace, experiment, what) (SELF)",
    "short",
)
PATCHES = Measure(
    "lesionlab_patches_per_second",
    "gauge",
    "Patches that a run trained on in a second of its last epoch, all workers together.",
    ("experiment", "run"),
    "sum by (namespace, experiment) (SELF)",
    "short",
)
DATA_WAIT = Measure(
    "lesionlab_data_wait_ratio",
    "gauge",
    "Part of a run's last epoch in which training waited for patches.",
    ("experiment", "run"),
    "avg by (namespace, experiment) (SELF)",
    "percentunit",
)
LOSS = Measure(
    "lesionlab_loss",
    "gauge",
    "Mean training loss of a run's epoch so far.",
    ("experiment", "run"),
    "SELF",
    "short",
)
STORE_ERRORS = Measure(
    "lesionlab_store_errors_total",
    "counter",
    "Requests that the store did not answer; each is repeated for five minutes.",
    (),
    "sum by (namespace) (rate(SELF[5m]))",
    "reqps",
)
MEMORY = Measure(
    "lesionlab_peak_memory_bytes",
    "gauge",
    "Largest memory of a run's tensors in its last epoch (gpu), or of its process (cpu).",
    ("experiment", "run", "device"),
    "max by (namespace, experiment, device) (SELF)",
    "bytes",
)
DEVICE_SECONDS = Measure(
    "lesionlab_device_seconds_total",
    "counter",
    "GPU seconds (gpu) or CPU seconds (cpu) that runs have used. The namespace is the site.",
    ("experiment", "device"),
    "sum by (namespace, device) (increase(SELF[1h])) / 3600",
    "h",
)

MEASURES: tuple[Measure, ...] = (CELLS, WAITING, PATCHES, DATA_WAIT, LOSS, STORE_ERRORS, MEMORY, DEVICE_SECONDS)

ALERTS: tuple[Alert, ...] = (
    Alert(
        "LesionlabRunsFail",
        'max by (namespace, experiment) ({lesionlab_cells}{{state="failed"}}) > 0',
        "5m",
        "warning",
        "runs of a sweep have failed; the others go on",
        "`lesionlab status EXPERIMENT` says why; mend it and submit again: only what failed is executed",
    ),
    Alert(
        "LesionlabWaitsForNodes",
        'max by (namespace, experiment) ({lesionlab_waiting}{{what="nodes"}}) == 1',
        "15m",
        "warning",
        "a job that has its quota finds no room for a run",
        "look for pending pods (`lesionlab status ID`) and at the node autoscaler; after an hour the job ends",
    ),
    Alert(
        "LesionlabStandsStill",
        'max by (namespace, experiment) ({lesionlab_cells}{{state="running"}}) > 0 unless on (namespace, experiment) '
        "sum by (namespace, experiment) (rate({lesionlab_device_seconds_total}[15m])) > 0",
        "30m",
        "critical",
        "runs are said to be running and none makes a step",
        "`lesionlab logs ID`; look for a hanging node or volume; `lesionlab cancel ID` and submit again loses "
        "at most five minutes of each run",
    ),
    Alert(
        "LesionlabWaitsForData",
        "avg by (namespace, experiment) ({lesionlab_data_wait_ratio}) > 0.5",
        "30m",
        "warning",
        "training waits for patches more than half of the time: GPUs idle",
        "give workers more CPUs per GPU (component gpu), or a faster disk to the volume `cache`",
    ),
    Alert(
        "LesionlabStoreErrors",
        "sum by (namespace) (increase({lesionlab_store_errors_total}[10m])) > 20",
        "10m",
        "critical",
        "the store does not answer many requests; each is repeated for five minutes, then its run fails",
        "look at the store's health and the network policy `store`; runs that failed are executed again by submitting",
    ),
)


def expression(alert: Alert) -> str:
    """The alert's PromQL with exported names. Raises KeyError for a name that is none of a measure."""
    return alert.when.format(**{measure.name: measure.exported for measure in MEASURES})
