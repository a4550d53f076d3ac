"""The cost of runs follows from finished runs like them on the same device; what is unlike is unknown."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from lesionlab.experiments.caches.volumes import open_cached
from lesionlab.experiments.costs import Finished, cost_of, finished_runs, fitted, rates_by_device, trained_patches
from lesionlab.experiments.footprint import footprint
from lesionlab.experiments.ledger import close_run
from lesionlab.experiments.planning import make_plan
from lesionlab.experiments.randomisation import draw_split
from lesionlab.experiments.rehearsal import rehearse
from lesionlab.experiments.spec_files import read_spec
from lesionlab.store.documents import write_document
from lesionlab.store.objects import open_store
from lesionlab.training.augmented import open_augmented
from storage_schemas import keys
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.runs import RunSpec
from tests.drill.experiment import spec as drill_spec
from tests.drill.experiment import store_cohorts
from tests.experiments.drawn import cohort_of, ledger_entry
from tests.experiments.finished import SPEC

GPU = "NVIDIA A100"


def runs_of(**changes: object) -> tuple[RunSpec, ...]:
    """Runs of two sizes in three folds."""
    spec = ExperimentSpec.model_validate(SPEC | changes)
    manifest = cohort_of(6, spacing_mm=3.0)
    return make_plan(spec, manifest, draw_split(manifest, spec.target), {}).runs


def finished(run: RunSpec, training_s: float, evaluation_s: float, **changes: object) -> Finished:
    times = {"training_s": training_s, "evaluation_s": evaluation_s, "device": GPU, "tested": len(run.test)}
    return Finished(run, ledger_entry(run.run_id, **(times | changes)))


def as_known(run: RunSpec, noise: float = 0.0) -> Finished:
    """10 s, 0.01 s a patch, 3 s a study; a part of noise."""
    return finished(run, (10 + 0.01 * trained_patches(run)) * (1 + noise), 3 * len(run.test) * (1 + noise))


def test_the_fixed_time_and_that_of_a_patch_are_told_apart() -> None:
    rate = fitted([(100, 15.0), (200, 20.0), (400, 30.0)])
    assert (rate.fixed_s, rate.unit_s, rate.spread) == pytest.approx((10.0, 0.05, 0.0), abs=1e-6)


def test_runs_of_one_length_give_a_time_a_patch_alone() -> None:
    assert fitted([(100, 9.0), (100, 11.0)]).seconds(200) == pytest.approx(20, abs=0.5)


def test_the_epochs_of_runs_of_one_length_tell_what_is_fixed() -> None:
    rate = fitted([(100, 20.0), (100, 20.0), (100, 20.0)], steady=[0.1, 0.1])
    assert (rate.fixed_s, rate.unit_s, rate.spread) == pytest.approx((10.0, 0.1, 0.0))
    assert rate.seconds(1000) == pytest.approx(110)


def test_longer_runs_are_estimated_from_shorter_ones() -> None:
    short, long = runs_of(), runs_of(training=SPEC["training"] | {"epochs": 300})  # type: ignore[operator]
    rates = rates_by_device([as_known(run) for run in short])[GPU]
    true_s = sum(10 + 0.01 * trained_patches(run) + 3 * len(run.test) for run in long)
    cost = cost_of(long, rates, GPU, gpus=1)
    assert cost.gpu_hours is not None
    assert cost.hours is not None
    assert cost.gpu_hours.value * 3600 == pytest.approx(true_s, rel=1e-3)
    assert cost.hours.value == pytest.approx(cost.gpu_hours.value)
    assert cost.finished == len(short)


def test_more_gpus_shorten_it_and_a_share_of_a_gpu_costs_a_share() -> None:
    runs = runs_of()
    rates = rates_by_device([as_known(run) for run in runs])[GPU]
    costs = [cost_of(runs, rates, GPU, gpus=gpus) for gpus in (1, 2, 6)]
    hours = [cost.hours.value for cost in costs if cost.hours]
    assert all(more < fewer for fewer, more in pairwise(hours))
    longest = max(rates_s.seconds for rates_s in (Seconds(run) for run in runs))
    assert hours[-1] * 3600 == pytest.approx(longest, rel=1e-3)
    shared = cost_of(runs, rates, GPU, gpus=1, share=0.5)
    assert shared.gpu_hours is not None
    assert shared.hours is not None
    assert costs[0].gpu_hours is not None
    assert shared.gpu_hours.value == pytest.approx(costs[0].gpu_hours.value / 2)
    assert shared.hours.value == pytest.approx(hours[1])
    one_at_a_time = cost_of(runs, rates, GPU, gpus=6, slots=1)
    assert one_at_a_time.hours is not None
    assert one_at_a_time.hours.value == pytest.approx(hours[0])


class Seconds:
    """What `as_known` says of a run."""

    def __init__(self, run: RunSpec) -> None:
        self.seconds = 10 + 0.01 * trained_patches(run) + 3 * len(run.test)


def test_several_workers_use_several_gpus() -> None:
    runs = runs_of(training=SPEC["training"] | {"workers": 2})  # type: ignore[operator]
    rates = rates_by_device([as_known(run) for run in runs])[GPU]
    cost = cost_of(runs, rates, GPU, gpus=2)
    assert cost.gpu_hours is not None
    assert cost.hours is not None
    assert cost.gpu_hours.value == pytest.approx(2 * cost.hours.value)


def test_the_uncertainty_is_that_of_single_runs() -> None:
    runs = runs_of()
    noisy = [as_known(run, 0.2 if number % 2 else -0.2) for number, run in enumerate(runs)]
    cost = cost_of(runs, rates_by_device(noisy)[GPU], GPU, gpus=1)
    assert cost.gpu_hours is not None
    assert cost.gpu_hours.spread == pytest.approx(0.22, abs=0.07)


@pytest.mark.parametrize(
    "changes", [{"architecture": {"depth": 2, "base_channels": 2}}, {"training": {"patch_voxels": 32, "batch_size": 2}}]
)
def test_runs_unlike_every_finished_one_are_unknown_and_named(changes: dict[str, object]) -> None:
    others = runs_of(**changes)
    cost = cost_of(others, rates_by_device([as_known(run) for run in runs_of()])[GPU], GPU, gpus=1)
    assert cost.gpu_hours is None
    assert cost.hours is None
    assert cost.unknown[0].startswith("de novo, 2 studies")


def test_an_attempt_that_was_resumed_knows_its_own_time_alone_and_does_not_count() -> None:
    (run, *_) = runs_of()
    assert set(rates_by_device([finished(run, 1.0, 0.0, attempts=2)])) == set()


def test_the_newest_runs_of_a_store_are_read_and_devices_are_kept_apart() -> None:
    store = open_store("memory://")
    for number, run in enumerate(runs_of()):
        write_document(store, keys.RUN_SPEC.build(run_id=run.run_id), run)
        close_run(store, finished(run, 5.0, 1.0, device=GPU if number % 2 else "cpu").entry)
    rates = rates_by_device(finished_runs(store))
    assert set(rates) == {GPU, "cpu"}


def test_the_cache_is_as_large_as_it_becomes(tmp_path: Path) -> None:
    store = open_store("memory://")
    store_cohorts(store)
    (tmp_path / "drill.yaml").write_text(drill_spec(1))
    runs = rehearse(read_spec(tmp_path / "drill.yaml"), store).runs
    found = footprint(store, runs, [])
    for run in runs:
        for entry in (*run.train, *run.test):
            volume = open_cached(store, entry, tmp_path)
            if entry in run.train:
                open_augmented(volume, entry.volume, 0, run.training, run.seed, tmp_path)
    names = ("image.npy", "label.npy", "native_label.npy", "image_CIJK.npy", "label_IJK.npy")
    arrays = [path for path in tmp_path.rglob("*.npy") if path.name in names]
    headers = 128 * len(arrays)
    assert found.cache == sum(path.stat().st_size for path in arrays) - headers
    assert found.written is None
    assert found.read == sum(o.size for o in store.listed("sites/") if "/volumes/" in o.key and ".zarr/" in o.key)
