"""Images that are given by hand are compared with what the task reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jobs.shared.image_arguments import note_unlike
from lesionlab.imaging.volume import Volume
from storage_schemas.tasks import TASKS


def test_each_image_is_noted_by_its_own_role(capsys: pytest.CaptureFixture[str]) -> None:
    scan = Volume(np.random.default_rng(0).normal(400, 40, (30, 30, 30)).astype(np.float32), np.diag([6.0, 6, 6, 1]))
    named = [("before", Path("a_T1w.nii.gz")), ("after", Path("b_FLAIR.nii.gz"))]
    note_unlike(named, {"before": scan, "after": scan}, TASKS["enhancing"])
    assert capsys.readouterr().err == "b_FLAIR.nii.gz: its name says FLAIR, but the model was trained on T1w\n"


def test_the_only_image_of_a_task_needs_no_role(capsys: pytest.CaptureFixture[str]) -> None:
    mask = Volume(np.eye(30, dtype=np.float32)[:, :, None].repeat(30, axis=2), np.diag([6.0, 6, 6, 1]))
    note_unlike([("", Path("scan.nii.gz"))], {"flair": mask}, TASKS["flair-single"])
    assert "it has 2 different values, as a mask" in capsys.readouterr().err
