"""Documents refuse unknown fields, are frozen and have one JSON text; the exported schemas match the code."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from storage_schemas.base import Document, canonical_json
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.export import EXPORTED, FOLDER, schema_files
from storage_schemas.manifests import Exclusion, Manifest, ManifestEntry
from storage_schemas.models import ModelName
from storage_schemas.tasks import TASKS
from storage_schemas.verdicts import Finding


def subclasses(base: type[Document]) -> list[type[Document]]:
    return [model for child in base.__subclasses__() for model in (child, *subclasses(child))]


DOCUMENTS = [model for model in subclasses(Document) if model.__module__.startswith("storage_schemas.")]


@pytest.mark.parametrize("model", DOCUMENTS, ids=lambda model: model.__name__)
def test_a_document_refuses_unknown_fields(model: type[Document]) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"colour": "blue"})
    assert ("colour",) in [error["loc"] for error in caught.value.errors() if error["type"] == "extra_forbidden"]


def test_a_document_is_frozen() -> None:
    document = ModelName(name="glioma", version="0" * 16)
    with pytest.raises(ValidationError, match="frozen"):
        document.name = "ms"  # type: ignore[misc]


def test_equal_values_have_the_same_text_in_any_order() -> None:
    assert canonical_json({"b": 1, "a": [1.0, None, "µ"]}) == '{"a":[1.0,null,"µ"],"b":1}'
    one = ModelName(name="glioma", version="0" * 16)
    assert one.digest() == ModelName.model_validate({"version": "0" * 16, "name": "glioma"}).digest()
    assert one.digest() != ModelName(name="glioma", version="1" * 16).digest()


def test_nan_and_infinity_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"loss": float("nan")})


@pytest.mark.parametrize("name", ["", "Glioma", "a/b", "../a", "-a", "a" * 64, "a b"])
def test_a_slug_is_valid_in_keys_file_names_and_labels(name: str) -> None:
    with pytest.raises(ValidationError):
        ModelName(name=name, version="0" * 16)


def test_a_manifest_with_a_duplicate_study_is_refused_with_its_name() -> None:
    entry = ManifestEntry(
        study="sub-1",
        patient="1",
        site="a",
        volume="0" * 16,
        image_sha256="0" * 64,
        lesions=1,
        lesion_volume_ml=0.5,
    )
    with pytest.raises(ValidationError, match=r"cohort ms: .* found several of sub-1"):
        Manifest.named(cohort="ms", task=TASKS["flair-single"], spacing_mm=1.0, studies=(entry, entry))


def test_what_was_repaired_is_no_fault_of_an_excluded_study() -> None:
    repaired = Finding(code="sform-qform-conflict", place="FLAIR", what="the sform was used", repaired=True)
    missing = Finding(code="missing-file", place="mask", what="wanted a file, found none")
    assert Exclusion(study="sub-1", findings=(repaired, missing)).faults == ("mask: wanted a file, found none",)


def test_the_exported_schemas_are_current() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert found == schema_files(), "run `python -m storage_schemas.export`"


@pytest.mark.parametrize("model", EXPORTED, ids=lambda model: model.__name__)
def test_an_exported_schema_is_a_json_schema_that_forbids_unknown_fields(model: type[Document]) -> None:
    schema = model.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    faults = jsonschema.Draft202012Validator(schema).iter_errors({"colour": "blue"})
    assert any("colour" in fault.message for fault in faults)


def test_the_exported_schema_accepts_an_experiment_that_the_code_accepts(study: dict[str, Any]) -> None:
    ExperimentSpec.model_validate(study)
    schema = json.loads((FOLDER / "experiment_spec.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(study, schema)
