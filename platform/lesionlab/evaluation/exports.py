"""Export the stored predictions of runs as one BIDS-derivatives dataset that says arm, size and fold of each mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lesionlab.evaluation.derivatives import Maker, Prediction, PredictionDataset, bids_label
from lesionlab.evaluation.levels import lowest_probability
from lesionlab.evaluation.study import read_prediction
from lesionlab.experiments.cells import run_title
from lesionlab.experiments.ledger import attempt_of
from lesionlab.experiments.site_policies import REPORT_SHOWS, refuse_showing
from lesionlab.store.objects import Store
from storage_schemas.axes import text_of
from storage_schemas.base import bids_stem
from storage_schemas.runs import RunSpec


def export_predictions(store: Store, runs: Sequence[RunSpec], folder: Path) -> int:
    """Write every stored prediction of these runs, of one experiment, into a dataset in `folder`.

    Masks of an earlier export are replaced. Returns the number of masks. Raises MissingObject if a prediction is
    missing, InputError if the folder holds anything else, or if a site's policy lets no images leave.
    """
    testing = [run for run in runs if run.cell]
    if not testing:
        return 0
    refuse_export(store, testing)
    dataset = PredictionDataset(folder, f"Predicted lesions of experiment {testing[0].experiment}")
    makers = makers_of(testing)
    for run, maker in zip(testing, makers, strict=True):
        attempt = attempt_of(store, run.run_id)
        for entry in run.test:
            stored = read_prediction(store, run.run_id, entry.study, attempt)
            known = stored.levels_ijk
            prediction = Prediction(
                stem=bids_stem(entry.study),
                study=entry.study,
                label=run.task.label,
                threshold=run.inference.threshold,
                native=stored.card.native_grid,
                mask_ijk=stored.mask_ijk,
                probability_ijk=None if known is None else lowest_probability(known),
            )
            dataset.write(maker, prediction)
    dataset.write_tables(makers)
    return sum(len(run.test) for run in testing)


def refuse_export(store: Store, runs: Sequence[RunSpec]) -> None:
    """Raises InputError if a site's policy lets no images leave; for whoever wants masks, before training."""
    refuse_showing(store, runs, REPORT_SHOWS, "without masks (--save-predictions, --masks) it can go on")


def makers_of(runs: Sequence[RunSpec]) -> list[Maker]:
    """The cell of each run, with its values on all axes."""
    titles = [run_title(run) for run in runs]
    labels = Counter(map(bids_label, titles))
    return [
        Maker(
            text=title,
            desc=bids_label(title if labels[bids_label(title)] == 1 else f"{title} run {run.run_id}"),
            values={"experiment": run.experiment, **_axis_values(run), "run_id": run.run_id},
        )
        for run, title in zip(runs, titles, strict=True)
    ]


def _axis_values(run: RunSpec) -> dict[str, str | int | float]:
    values = {} if run.cell is None else run.cell.values()
    return {
        axis: value if isinstance(value, int | float) else text_of(value)
        for axis, value in values.items()
        if value is not None
    }
