"""Export the schemas as JSON Schema for readers in other languages: `python -m storage_schemas.export`.

Rewrites `json/` with one file per document or row type that is stored or written by a person.
"""

from __future__ import annotations

import json
import re
from inspect import getdoc
from pathlib import Path

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from storage_schemas.audit import AuditEntry
from storage_schemas.base import Document, OneText, Pointer
from storage_schemas.benchmarks import Benchmark, Ticket
from storage_schemas.decisions import Champion, Decision
from storage_schemas.experiments import ExperimentSpec, Plan
from storage_schemas.facts import StudyFacts
from storage_schemas.grading import InsertedLesion
from storage_schemas.imports import ImportCard
from storage_schemas.leases import ActiveSweep, Failure, Lease
from storage_schemas.manifests import Manifest
from storage_schemas.models import ModelCard, TensorTransfer
from storage_schemas.parts import DeclaredCohort, Part, Receipt, SaltCheck, Withdrawal
from storage_schemas.policies import SitePolicy
from storage_schemas.results import EffectRow, EpochRow, LedgerEntry, LesionRow, OperatingRow, StudyRow
from storage_schemas.retraining import RetrainDecision, RetrainOutcome
from storage_schemas.rules import GateOutcome, Rule
from storage_schemas.runs import RunSpec
from storage_schemas.sites import Consortium, SmallestCounts
from storage_schemas.splits import Split
from storage_schemas.submissions import Submission, SubmissionAttempt, SubmissionOutcome, SubmissionProgress
from storage_schemas.verdicts import StudyVerdict, VerdictRow
from storage_schemas.volumes import PredictionCard, StudyVolumeCard

FOLDER = Path(__file__).parent / "json"

DOCUMENTS: tuple[type[Document], ...] = (
    *(ExperimentSpec, Plan, RunSpec, Split, Manifest, Pointer, StudyVolumeCard, PredictionCard, ModelCard),
    *(LedgerEntry, Lease, ActiveSweep, Failure, StudyVerdict, Consortium, SmallestCounts),
    *(ImportCard, InsertedLesion),
    *(Submission, SubmissionAttempt, SubmissionOutcome, SubmissionProgress),
    *(DeclaredCohort, Part, Receipt, SaltCheck, Withdrawal, SitePolicy, AuditEntry),
    *(Champion, Decision),
    *(Benchmark, Rule, Ticket, GateOutcome),
    *(RetrainDecision, RetrainOutcome),
)
"""What lies in the store as JSON, or is written by a person as YAML."""

ROWS: tuple[type[Document], ...] = (
    *(StudyRow, LesionRow, OperatingRow, EffectRow, EpochRow, TensorTransfer, VerdictRow, StudyFacts),
)
"""What lies in the store as rows of Parquet."""

EXPORTED = (*DOCUMENTS, *ROWS)


class RowSchema(GenerateJsonSchema):
    """Of a row: a document that has one text is that text in its column."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Called for the row and for each document in it."""
        if issubclass(schema["cls"], OneText):
            return {"type": "string", "title": schema["cls"].__name__, "description": getdoc(schema["cls"].text)}
        return super().model_schema(schema)


def schema_files() -> dict[str, str]:
    """Text of every schema file by name: `experiment_spec.schema.json` for ExperimentSpec."""
    return {
        re.sub(r"(?<!^)(?=[A-Z])", "_", model.__name__).lower() + ".schema.json": _schema_text(model)
        for model in EXPORTED
    }


def _schema_text(model: type[Document]) -> str:
    generator = RowSchema if model in ROWS else GenerateJsonSchema
    return json.dumps(model.model_json_schema(schema_generator=generator), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the schema files and remove all other JSON files in the folder."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name, text in schema_files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
