"""Drift is told from chance, and a learning curve promises nothing beyond its largest size."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlab.analysis.methods.drift import shift_p
from lesionlab.analysis.statistics.external import TableRow
from lesionlab.analysis.statistics.retraining import Described, expected_gain, shifts
from lesionlab.imaging.texture import bright_level, noise_sd


def studies(rng: np.random.Generator, count: int, load: float = 0.0, scanner: str = "a") -> list[Described]:
    return [
        Described({"load": rng.normal(load), "age": rng.normal(40, 10), "noise": rng.normal()}, {"scanner": scanner})
        for _ in range(count)
    ]


def test_like_samples_drift_as_rarely_as_the_level_says() -> None:
    rng = np.random.default_rng(0)
    drifted = [any(shift.drifted for shift in shifts(studies(rng, 30), studies(rng, 15), 0.05)) for _ in range(300)]
    assert np.mean(drifted) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_a_shifted_number_and_a_new_word_are_named() -> None:
    rng = np.random.default_rng(1)
    found = {s.name: s for s in shifts(studies(rng, 40), studies(rng, 20, load=2.0, scanner="b"), 0.01)}
    assert {name for name, shift in found.items() if shift.drifted} == {"load", "scanner"}
    assert found["scanner"].new == ("b",)
    assert (found["load"].before, found["load"].now) == (40, 20)


def test_too_few_values_are_no_evidence() -> None:
    assert shift_p([1.0, 2.0], [9.0] * 20) is None
    found = shifts([Described({"load": 1.0})] * 2, [Described({"load": 9.0})] * 5, 0.01)
    assert [(shift.p, shift.drifted) for shift in found] == [(None, False)]


def curve(means: dict[int, list[float]]) -> list[TableRow]:
    """One study of each network; the networks of a size are its folds."""
    return [
        TableRow(
            study=f"sub-{fold}",
            patient=f"p{fold}",
            site="a",
            fold=fold,
            position=1,
            arm="de-novo",
            training_size=size,
            sensitivity=value,
            ppv=0.5,
        )
        for size, values in means.items()
        for fold, value in enumerate(values, start=1)
    ]


def test_gain_is_read_off_between_trained_sizes_and_unknown_beyond() -> None:
    rows = curve({10: [0.5, 0.6], 20: [0.6, 0.7], 40: [0.7, 0.8]})
    gain = expected_gain(rows, "de-novo", None, "sensitivity", 15, 30)
    assert gain.expected == pytest.approx(0.10)
    assert gain.noise == pytest.approx(np.std([0.6, 0.7], ddof=1))
    beyond = expected_gain(rows, "de-novo", None, "sensitivity", 15, 41)
    assert (beyond.expected, beyond.largest) == (None, 40)
    assert expected_gain(rows, "fine-tuned", "x", "sensitivity", 15, 30).largest is None


def test_a_curve_that_falls_promises_no_loss() -> None:
    rows = curve({10: [0.6, 0.6], 20: [0.5, 0.5]})
    assert expected_gain(rows, "de-novo", None, "sensitivity", 10, 20).expected == 0.0


def test_noise_is_measured_in_spite_of_edges_and_doubles_when_it_does() -> None:
    rng = np.random.default_rng(2)
    head = np.where(np.indices((30, 30, 30))[0] % 10 < 5, 0.5, 1.5)
    one, two = (noise_sd(head + rng.normal(0, sd, head.shape)) for sd in (0.1, 0.2))
    assert one == pytest.approx(0.1, rel=0.05)
    assert two == pytest.approx(0.2, rel=0.05)
    assert bright_level(head) == pytest.approx(1.5)
    assert noise_sd(np.zeros((4, 4, 4))) == bright_level(np.zeros((4, 4, 4))) == 0.0
