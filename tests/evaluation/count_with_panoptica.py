"""Count lesions with panoptica on perturbed masks of a BIDS dataset; print lines of `peer_counts.csv`.

panoptica wants older numpy, pandas and rich than lesionlab, so it needs a Python of its own, which has nibabel too:
`python tests/evaluation/count_with_panoptica.py …/ms-lesion-shapes`.
"""

import contextlib
import csv
import io
import sys
from importlib.metadata import version
from pathlib import Path

import nibabel as nib
import numpy as np
from panoptica import ConnectedComponentsInstanceApproximator, InputType, Panoptica_Evaluator
from panoptica.instance_matcher import MaxBipartiteMatching, NaiveThresholdMatching
from panoptica.metrics import Metric
from perturbed import PREDICTIONS, cropped

PANOPTICA = f"panoptica {version('panoptica')}"
PEERS = {f"{PANOPTICA} best of all": MaxBipartiteMatching, f"{PANOPTICA} best pair first": NaiveThresholdMatching}
DEFINITIONS = {"one-to-one-iou": Metric.IOU, "one-to-one-dice": Metric.DSC}


def count(reference: np.ndarray, prediction: np.ndarray, matcher: object) -> tuple[int, int, int, int]:
    """Reference lesions, predicted lesions, true-positive reference lesions, true-positive predicted lesions."""
    evaluator = Panoptica_Evaluator(
        expected_input=InputType.SEMANTIC,
        instance_approximator=ConnectedComponentsInstanceApproximator(),
        instance_matcher=matcher,
        instance_metrics=[Metric.DSC],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        (result,) = evaluator.evaluate(prediction, reference).values()
    return int(result.n_ref_instances), int(result.n_pred_instances), int(result.tp), int(result.tp)


def main(folder: Path) -> None:
    """Count every mask of the dataset, every prediction of it and every definition with both matchers."""
    lines = csv.writer(sys.stdout, lineterminator="\n")
    for path in sorted(folder.glob("sub-*/anat/*label-lesion_mask.nii.gz")):
        subject, mask = path.name.partition("_")[0], cropped(np.asarray(nib.load(path).dataobj))
        for peer, matcher in PEERS.items():
            for prediction, make in PREDICTIONS.items():
                for definition, metric in DEFINITIONS.items():
                    counts = count(mask, make(mask), matcher(metric, 0.5))
                    lines.writerow([peer, definition, subject, prediction, *counts])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
