"""The whole study in small, on simulated patients: `lesionlab run demo` with nothing to choose."""

from __future__ import annotations

from jobs.plan import show_design
from jobs.run import run_experiment
from jobs.shared.command_line import CacheOption, StoreOption, connect, run_alone
from jobs.shared.datasets import WorkOption, cohort_origins
from jobs.shared.specs import load_spec


def demo(store: StoreOption, cache: CacheOption, work: WorkOption) -> None:
    """The whole study in small, on simulated patients: about 8 minutes on 2 cores.

    Example: lesionlab demo --store s3://my-bucket/demo
    """
    spec = load_spec("demo")
    show_design(spec)
    run_experiment(spec, connect(store), cache, work, origins=cohort_origins(spec, []), plain=False)


if __name__ == "__main__":
    run_alone(demo)
