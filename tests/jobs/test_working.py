"""What a submission that runs tells whoever asks: its stage, named once, and the newest line that it printed."""

from __future__ import annotations

import pytest

from jobs.shared.console import notes
from jobs.shared.following import line_of
from jobs.shared.working import _told
from lesionlab.experiments.submissions import Standing
from lesionlab.store.objects import open_store
from storage_schemas.submissions import Submission, SubmissionAttempt

ID = "a" * 16


def test_a_stage_is_named_once_until_a_newer_line_takes_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store("memory://")
    attempt = SubmissionAttempt(submission=ID, number=1, by="anna", at="2026-11-28T00:00:00+00:00", place="here")
    now = Standing(attempt, None)
    with _told(store, now, Submission.model_construct(id=ID)) as tell:
        for stage, text in (("pretraining", "default models: 1"), ("sweep", "cells: 5")):
            tell(stage, text)
            assert line_of(store, now, None) == (f"{stage}: {text}", None)
        notes.print("cell 3: epoch 2")
    assert line_of(store, now, None) == ("sweep: cell 3: epoch 2", None)
    assert "sweep: cells: 5" in capsys.readouterr().err
