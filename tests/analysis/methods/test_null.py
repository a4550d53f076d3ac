"""Studies without an effect in; tests keep to 5 % where their assumptions hold, and are caught where they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lesionlab.analysis.methods.null import NullDesign, draw_null, null_rates

INDEPENDENT = NullDesign(
    subsets=6,
    subset_size=10,
    sizes=(10, 30),
    patient_sd=0.15,
    training_set_sd=0.0,
    network_sd=0.0,
    residual_sd=0.08,
)


def test_where_nothing_is_shared_every_paired_method_keeps_to_five_percent():
    rates = {rate.method: rate for rate in null_rates(INDEPENDENT, 60, np.random.default_rng(1))}
    for method, rate in rates.items():
        if "unpaired" not in method:
            assert rate.low <= 0.05 <= rate.high, method


def test_a_network_that_all_studies_of_a_fold_share_makes_the_paired_test_wrong_too_often():
    shared = replace(INDEPENDENT, network_sd=0.08)
    rates = {rate.method: rate for rate in null_rates(shared, 60, np.random.default_rng(2))}
    assert rates["paired t, fine-tuned against de novo"].low > 0.08
    assert rates["mixed model, fine-tuned − de novo"].low <= 0.05


def test_the_same_seed_gives_the_same_rates():
    first, again = (null_rates(INDEPENDENT, 5, np.random.default_rng(3)) for _ in range(2))
    assert first == again


def test_the_default_model_is_tested_on_the_patients_of_the_first_subset():
    values = draw_null(replace(INDEPENDENT, residual_sd=0.0), np.random.default_rng(4))
    assert np.allclose(values.default_T, values.fresh_TM[:10, 0])
