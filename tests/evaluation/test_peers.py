"""Our counts on real masks, and on predictions with known errors, equal those of other programs.

`peer_counts.csv` holds their counts: panoptica through `count_with_panoptica.py`; animaSegPerfAnalyzer by its own
rule (getTruePositiveLesions of the commit named, compiled alone) on overlap tables of face-connected lesions > 3 mm³.
"""

import csv
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from lesionlab.evaluation.lesionwise import score
from lesionlab.imaging.volume import read_mask
from storage_schemas.definitions import DEFINITIONS
from tests.evaluation.perturbed import PREDICTIONS, cropped

HERE = Path(__file__).parent
COUNTED = list(csv.reader((HERE / "peer_counts.csv").read_text(encoding="utf-8").splitlines()))[1:]
SUBJECTS = sorted({subject for _, _, subject, *_ in COUNTED})


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_same_definition_counts_the_same_as_the_peer(real_data: Path, subject: str) -> None:
    (path,) = real_data.glob(f"ms-lesion-shapes/{subject}/anat/*label-lesion_mask.nii.gz")
    mask = cropped(read_mask(path).voxels)
    ours, theirs = {}, {}
    for peer, definition, _, prediction, *counts in (line for line in COUNTED if line[2] == subject):
        if (definition, prediction) not in ours:
            result = score(mask, PREDICTIONS[prediction](mask), np.eye(4), DEFINITIONS[definition])
            lesions = len(result.reference), len(result.prediction)
            ours[definition, prediction] = [*lesions, result.true_positives, lesions[1] - result.false_positives]
        theirs[peer, definition, prediction] = list(map(int, counts))
    assert theirs == {key: ours[key[1:]] for key in theirs}


def test_every_peer_counted_every_kind_of_error() -> None:
    kinds = {(peer, definition) for peer, definition, *_ in COUNTED}
    assert {definition for _, definition in kinds} == {"one-to-one-iou", "one-to-one-dice", "msseg-2"}
    assert len(COUNTED) == len(kinds) * len(SUBJECTS) * len(PREDICTIONS)


@pytest.mark.slow
def test_the_installed_panoptica_gives_the_recorded_counts(real_data: Path) -> None:
    python = os.environ.get("LESIONLAB_PANOPTICA_PYTHON")
    if python is None:
        pytest.skip("LESIONLAB_PANOPTICA_PYTHON names no Python with panoptica and nibabel")
    script, masks = HERE / "count_with_panoptica.py", real_data / "ms-lesion-shapes"
    output = subprocess.run([python, script, masks], check=True, capture_output=True, text=True).stdout
    today = sorted(csv.reader(output.splitlines()))
    assert [line[1:] for line in today] == [line[1:] for line in COUNTED if line[0].startswith("panoptica")]
