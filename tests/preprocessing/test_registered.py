"""Images that are registered already are checked too, and a refused one may be accepted by its picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from lesionlab.imaging.volume import Volume
from lesionlab.preprocessing.files import StudyFiles
from lesionlab.preprocessing.ingest import Recipe, ingest_study
from lesionlab.preprocessing.study import preprocess_study, study_digest
from lesionlab.store.objects import Store, open_store
from storage_schemas.tasks import TASKS
from tests.imaging.heads import THREE_MM
from tests.preprocessing.pairs import NEW_MM, new_lesions, scan, write_study


def coregistered(folder: Path, shift_mm: float) -> StudyFiles:
    """T1 before and after gadolinium in one place, or shifted by so much in the header."""
    before, after = scan(THREE_MM, np.eye(4), gain=2.0), scan(THREE_MM, np.eye(4), NEW_MM)
    moved = before.affine.copy()
    moved[1, 3] += shift_mm
    folder.mkdir()
    return write_study(folder, {"before": Volume(before.voxels, moved), "after": after}, new_lesions())


def pictures(store: Store) -> list[str]:
    return [key for key in store.list("") if key.endswith(".pictures/before.png")]


def test_images_that_are_registered_already_keep_their_places_and_have_a_picture(tmp_path):
    """`--registered`: no registration, but the same check; another identity than that of a registered volume."""
    files, task = coregistered(tmp_path / "right", 0), TASKS["enhancing"]
    volume = preprocess_study(files, task, 6.0, registered=True)
    (found,) = volume.card.registrations
    assert found.kind == "header"
    assert np.array_equal(found.matrix, np.eye(4))
    assert found.displacement_ratio is not None
    assert found.displacement_ratio > 1
    assert volume.entry.volume == study_digest(files, task, 6.0, registered=True) != study_digest(files, task, 6.0)
    store = (tmp_path / "store").as_uri()
    assert ingest_study(files, Recipe(task, 6.0, registered=True), store).verdict.verdict == "pass"
    (picture,) = pictures(open_store(store))
    assert open_store(store).get(picture).startswith(b"\x89PNG")


def test_images_that_are_not_where_they_claim_are_refused_with_a_picture_until_accepted(tmp_path):
    files, store = coregistered(tmp_path / "wrong", 10), (tmp_path / "store").as_uri()
    recipe = Recipe(TASKS["enhancing"], 6.0, registered=True)
    refused = ingest_study(files, recipe, store)
    assert [finding.code for finding in refused.verdict.findings] == ["registration-failed"]
    assert "--accept STUDY" in refused.verdict.findings[0].what
    assert len(pictures(open_store(store))) == 1
    accepted = ingest_study(files, replace(recipe, accept=frozenset({files.study})), store)
    assert [finding.code for finding in accepted.verdict.findings] == ["registration-doubtful"]
    assert accepted.verdict.verdict == "repaired"
    assert accepted.entry is not None
    assert ingest_study(files, recipe, store).entry is None  # the refusal stands without the acceptance
