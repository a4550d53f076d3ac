"""Values drawn from known SDs in; the SDs are found again, and how surely, out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lesionlab.analysis.methods.mixed import Observation
from lesionlab.analysis.methods.spread import Spread, spread
from tests.analysis.drawn_effects import drawn

EFFECTS = {"patient", "patient_fine_tuned", "training_set", "network", "site", "subset_fine_tuned", "residual"}


def found(observations: list[Observation], refits: int = 0) -> Spread:
    result = spread(observations, refits, np.random.default_rng(0))
    assert result is not None
    return result


def test_every_effect_of_the_model_is_told_however_small():
    sd = found(drawn(np.random.default_rng(9), set_sd=0.0, network_sd=0.06)).sd
    assert set(sd) == EFFECTS
    assert sd["network"] == pytest.approx(0.06, rel=0.4)
    assert sd["training_set"] < 0.03


def test_what_training_sets_add_is_not_taken_for_the_luck_of_networks():
    """A training set adds the same to both arms, so it leaves their difference alone; a network does not."""
    experiments = [drawn(np.random.default_rng(seed), set_sd=0.06, sizes=(10, 40)) for seed in range(8)]
    variances = {
        name: np.mean([found(observations).sd[name] ** 2 for observations in experiments])
        for name in ("training_set", "network")
    }
    assert variances["training_set"] == pytest.approx(0.06**2, rel=0.35)
    assert variances["network"] < 0.02**2


def test_what_subsets_add_to_an_arm_is_not_taken_for_the_luck_of_networks():
    sds = [found(drawn(np.random.default_rng(seed), subset_fine_tuned_sd=0.08, sizes=(10, 40))).sd for seed in range(5)]
    variances = {name: np.mean([sd[name] ** 2 for sd in sds]) for name in ("subset_fine_tuned", "network")}
    assert variances["subset_fine_tuned"] == pytest.approx(0.08**2, rel=0.35)
    assert variances["network"] < 0.02**2


def test_where_the_training_subsets_are_not_known_nothing_is_said_of_them():
    unknown = [replace(o, subsets=()) for o in drawn(np.random.default_rng(9), network_sd=0.06)]
    assert set(found(unknown).sd) == EFFECTS - {"subset_fine_tuned"}


def test_a_curve_that_is_no_straight_line_is_not_taken_for_the_luck_of_training():
    flat = drawn(np.random.default_rng(9), set_sd=0.0)
    bent = [replace(o, value=o.value + 0.1 * (o.training_size == 20)) for o in flat]
    assert found(bent).sd == pytest.approx(found(flat).sd, abs=1e-5)


@pytest.mark.slow
def test_refitted_sds_scatter_about_those_found_as_those_of_other_experiments_do():
    """Each experiment of six folds tells the networks' SD about as badly as its own bootstrap says."""
    one = found(drawn(np.random.default_rng(1), network_sd=0.05), refits=30)
    others = [found(drawn(np.random.default_rng(seed), network_sd=0.05)).sd["network"] for seed in range(30)]
    bootstrap = [sd["network"] for sd in one.refitted]
    assert np.mean(bootstrap) == pytest.approx(one.sd["network"], rel=0.1)
    assert np.std(bootstrap) == pytest.approx(np.std(others), rel=0.5)


def test_the_same_seed_gives_the_same_sds():
    observations = drawn(np.random.default_rng(2), sizes=(10, 20))
    assert found(observations, refits=5) == found(observations, refits=5)


@pytest.mark.parametrize("values", [[], [0.5] * 18], ids=["nothing", "constant"])
def test_of_values_without_variance_nothing_is_told(values):
    observations = [Observation(v, p % 2 > 0, 10, str(p // 2), "1", "1", "a") for p, v in enumerate(values)]
    assert spread(observations, 3, np.random.default_rng(0)) is None
