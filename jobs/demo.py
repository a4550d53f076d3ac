"""Run a small experiment on simulated patients, from datasets to the report."""

from __future__ import annotations

from jobs.shared.cohorts import cohort_origins
from jobs.shared.design_output import show_design
from jobs.shared.entry_points import run_as_module
from jobs.shared.experiment_files import load_spec
from jobs.shared.options import CacheOption, StoreOption, WorkOption, connect
from jobs.shared.stages import run_experiment


def demo(store: StoreOption, cache: CacheOption, work: WorkOption) -> None:
    """Run a small experiment on simulated patients: 10 to 15 minutes on 2 cores.

    Example: lesionlab demo --store s3://my-bucket/demo
    """
    experiment = load_spec("demo")
    show_design(experiment)
    run_experiment(experiment, connect(store), cache, work, origins=cohort_origins(experiment, []), plain=False)


if __name__ == "__main__":
    run_as_module(demo)
