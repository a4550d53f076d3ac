"""Rows of the paper's rotation, drawn from known curves: 60 studies in 6 folds, every arm at every size."""

from __future__ import annotations

import numpy as np

from lesionlab.analysis.statistics.external import TableRow

FOLDS, PER_FOLD = 6, 10


def needed(target: float, gain: float) -> float:
    """The training size at which a curve with this gain reaches the target."""
    return (gain / (0.8 - target)) ** 2


def drawn_rows(
    seed: int,
    gains: dict[str, float],
    sizes: tuple[int, ...] = (10, 20, 30, 40, 50),
    rater: float | None = None,
    noise: float = 0.05,
    network_sd: float = 0.0,
    patients_per_fold: int = PER_FOLD,
    budget: str | None = None,
) -> list[TableRow]:
    """Mean sensitivity at size N is 0.8 − gain / √N; PPV the same; a default model at 0.4, a rater where asked for."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0, 0.08, FOLDS * PER_FOLD)
    networks = {(arm, n, fold): rng.normal(0, network_sd) for arm in gains for n in sizes for fold in range(1, 7)}
    rows = []
    for number in range(FOLDS * PER_FOLD):
        fold, place = divmod(number, PER_FOLD)
        about = {
            "study": f"sub-{number:03d}",
            "patient": f"{fold}-{place % patients_per_fold}",
            "site": ("north", "south", "west")[number % 3],
            "fold": fold + 1,
            "position": place + 1,
            "budget": budget,
        }

        def value(mean: float, of: int = number) -> float:
            return float(np.clip(mean + own[of] + rng.normal(0, noise), 0, 1))

        untrained = {"default": 0.4} | ({} if rater is None else {"rater": rater})
        for arm, mean in untrained.items():
            if fold == 0:
                plain = about | {"budget": None}
                rows.append(TableRow(**plain, arm=arm, sensitivity=value(mean), ppv=value(mean)))
        for arm, gain in gains.items():
            for n in sizes:
                mean = 0.8 - gain * n**-0.5 + networks[arm, n, fold + 1]
                rows.append(TableRow(**about, arm=arm, training_size=n, sensitivity=value(mean), ppv=value(mean)))
    return rows
