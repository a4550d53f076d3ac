"""Stripped and whole heads never meet in an experiment without a word: every cohort declares it, or none does."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lesionlab.errors import SpecError
from lesionlab.experiments.planning import check_fits
from lesionlab.experiments.planning import testing_run as run_that_tests
from lesionlab.experiments.registry import find_model, register
from lesionlab.store.documents import write_document
from lesionlab.store.objects import open_store
from storage_schemas import keys
from storage_schemas.base import digest_of
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.manifests import Manifest
from tests.experiments.drawn import cohort_of
from tests.experiments.finished import SPEC, finish_experiment

BOTH = {"sources": [{"model": "glioma", "cohort": "gliomas"}]}


def spec(ms: object, gliomas: object) -> ExperimentSpec:
    cohorts = {"ms": {"strip": ms}, "gliomas": {"strip": gliomas}}
    return ExperimentSpec.model_validate(SPEC | BOTH | {"cohorts": cohorts})


@pytest.mark.parametrize(("ms", "gliomas"), [("deepbet", None), (None, "already")])
def test_a_declaration_for_some_cohorts_only_is_refused(ms: object, gliomas: object) -> None:
    with pytest.raises(ValidationError, match="stripped and whole heads do not mix"):
        spec(ms, gliomas)


@pytest.mark.parametrize(("ms", "gliomas"), [("deepbet", "already"), ("deepbet", "deepbet"), (None, None)])
def test_cohorts_that_are_all_stripped_or_all_undeclared_may_meet(ms: object, gliomas: object) -> None:
    assert spec(ms, gliomas).cohorts["ms"].strip == ms


@pytest.mark.parametrize(
    ("declared", "found", "message"),
    [
        ("deepbet", None, r"declares strip: deepbet, .* with no stripping; preprocess it again with --strip$"),
        ("already", None, r"declares strip: already, .* with no stripping; preprocess it again with --stripped$"),
        (None, "deepbet", r"declares no stripping, .* with strip: deepbet; preprocess it again$"),
    ],
)
def test_a_cohort_that_was_preprocessed_otherwise_is_refused(declared: object, found: object, message: str) -> None:
    wanted = ExperimentSpec.model_validate(SPEC | {"cohorts": {"ms": {"strip": declared}}})
    with pytest.raises(SpecError, match=message):
        check_fits(wanted, wanted.task, cohort_of(6, spacing_mm=3.0, strip=found))
    check_fits(wanted, wanted.task, cohort_of(6, spacing_mm=3.0, strip=declared))


def test_a_manifest_without_stripping_keeps_its_name() -> None:
    manifest = cohort_of(3)
    earlier = {k: v for k, v in manifest.model_dump(mode="json").items() if k not in ("id", "strip", "parts")}
    assert manifest.id == digest_of(earlier) != cohort_of(3, strip="deepbet").id
    assert Manifest.from_stored({"schema": 1, "id": manifest.id} | earlier) == manifest


def test_a_model_says_how_its_training_images_were_stripped_and_refuses_others() -> None:
    store = open_store("memory://")
    plan = finish_experiment(store)
    run = plan.runs[0]
    stripped = cohort_of(6, spacing_mm=3.0, strip="deepbet")
    run = run.model_copy(update={"manifest": stripped.id})
    write_document(store, keys.RUN_SPEC.build(run_id=run.run_id), run)
    write_document(store, keys.MANIFEST.build(cohort="ms", digest=stripped.id), stripped)
    card = register(store, run.run_id, "brains")
    assert card.strip == find_model(store, "brains").strip == "deepbet"
    with pytest.raises(SpecError, match="is for skull-stripped heads, but cohort ms was preprocessed without"):
        run_that_tests(card, cohort_of(6, spacing_mm=3.0))
    assert run_that_tests(card, cohort_of(6, spacing_mm=3.0, strip="already")).test
