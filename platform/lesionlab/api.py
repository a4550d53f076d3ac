"""The public API: the names that a notebook or another program may rely on.

These names keep their meaning and their parameters; every other name may change in any release. Datasets enter through
the commands alone, because `lesionlab preprocess` runs the privacy gate before anything reaches the store.

A name is imported when it is first used, so reading an experiment file loads neither torch nor Ray.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors; _HOMES is the same list for Python
    from lesionlab.analysis.experiment_analysis import Analysis as Analysis
    from lesionlab.analysis.experiment_analysis import analyse as analyse
    from lesionlab.analysis.report import ReportResult as ReportResult
    from lesionlab.analysis.report import write_report as write_report
    from lesionlab.analysis.statistics.conditions import Condition as Condition
    from lesionlab.analysis.statistics.summary import Summary as Summary
    from lesionlab.errors import AccessDenied as AccessDenied
    from lesionlab.errors import ClusterError as ClusterError
    from lesionlab.errors import Conflict as Conflict
    from lesionlab.errors import DamagedObject as DamagedObject
    from lesionlab.errors import DatasetError as DatasetError
    from lesionlab.errors import ImageError as ImageError
    from lesionlab.errors import InputError as InputError
    from lesionlab.errors import LesionlabError as LesionlabError
    from lesionlab.errors import LimitReached as LimitReached
    from lesionlab.errors import MissingObject as MissingObject
    from lesionlab.errors import NotAllowed as NotAllowed
    from lesionlab.errors import NotThere as NotThere
    from lesionlab.errors import ObjectExists as ObjectExists
    from lesionlab.errors import RunFailed as RunFailed
    from lesionlab.errors import RunHeld as RunHeld
    from lesionlab.errors import RunYielded as RunYielded
    from lesionlab.errors import SpecError as SpecError
    from lesionlab.errors import StoreError as StoreError
    from lesionlab.errors import StoreUnreachable as StoreUnreachable
    from lesionlab.errors import StudyRefused as StudyRefused
    from lesionlab.errors import TrainingError as TrainingError
    from lesionlab.errors import TransferError as TransferError
    from lesionlab.evaluation.lesionwise import Score as Score
    from lesionlab.evaluation.lesionwise import ScoredLesion as ScoredLesion
    from lesionlab.evaluation.lesionwise import score as score
    from lesionlab.evaluation.predict import NativePrediction as NativePrediction
    from lesionlab.evaluation.predict import predict_native as predict_native
    from lesionlab.evaluation.registered_network import registered_network as registered_network
    from lesionlab.evaluation.study import StoredPrediction as StoredPrediction
    from lesionlab.evaluation.study import read_prediction as read_prediction
    from lesionlab.experiments.cells import cells as cells
    from lesionlab.experiments.ledger import completed as completed
    from lesionlab.experiments.ledger import ledger_entries as ledger_entries
    from lesionlab.experiments.manifests import current_manifest as current_manifest
    from lesionlab.experiments.publishing import lesion_rows as lesion_rows
    from lesionlab.experiments.publishing import operating_rows as operating_rows
    from lesionlab.experiments.publishing import study_rows as study_rows
    from lesionlab.experiments.registry import find_model as find_model
    from lesionlab.experiments.registry import models as models
    from lesionlab.experiments.registry import register as register
    from lesionlab.experiments.spec_files import read_spec as read_spec
    from lesionlab.experiments.store_planning import plan_experiment as plan_experiment
    from lesionlab.experiments.stored_plans import current_plan as current_plan
    from lesionlab.experiments.stored_plans import store_plan as store_plan
    from lesionlab.imaging.volume import Volume as Volume
    from lesionlab.imaging.volume import read_mask as read_mask
    from lesionlab.imaging.volume import read_volume as read_volume
    from lesionlab.imaging.volume import write_volume as write_volume
    from lesionlab.orchestration.execution import execute as execute
    from lesionlab.orchestration.progress import RunningCell as RunningCell
    from lesionlab.orchestration.progress import SweepProgress as SweepProgress
    from lesionlab.preprocessing.channels import PreparedImages as PreparedImages
    from lesionlab.preprocessing.channels import prepare_images as prepare_images
    from lesionlab.store.base import Store as Store
    from lesionlab.store.objects import open_store as open_store
    from storage_schemas.audit import AuditEntry as AuditEntry
    from storage_schemas.base import Document as Document
    from storage_schemas.base import Named as Named
    from storage_schemas.base import Pointer as Pointer
    from storage_schemas.benchmarks import Benchmark as Benchmark
    from storage_schemas.benchmarks import Ticket as Ticket
    from storage_schemas.decisions import Champion as Champion
    from storage_schemas.decisions import Decision as Decision
    from storage_schemas.definitions import MetricDefinition as MetricDefinition
    from storage_schemas.definitions import definition_named as definition_named
    from storage_schemas.experiments import ExperimentSpec as ExperimentSpec
    from storage_schemas.experiments import Plan as Plan
    from storage_schemas.facts import StudyFacts as StudyFacts
    from storage_schemas.grading import InsertedLesion as InsertedLesion
    from storage_schemas.identity import identity as identity
    from storage_schemas.identity import identity_digest as identity_digest
    from storage_schemas.identity import identity_json as identity_json
    from storage_schemas.imports import ImportCard as ImportCard
    from storage_schemas.leases import ActiveSweep as ActiveSweep
    from storage_schemas.leases import Failure as Failure
    from storage_schemas.leases import Lease as Lease
    from storage_schemas.manifests import Manifest as Manifest
    from storage_schemas.manifests import ManifestEntry as ManifestEntry
    from storage_schemas.models import Architecture as Architecture
    from storage_schemas.models import Declared as Declared
    from storage_schemas.models import InferenceConfig as InferenceConfig
    from storage_schemas.models import ModelCard as ModelCard
    from storage_schemas.models import TensorTransfer as TensorTransfer
    from storage_schemas.parts import DeclaredCohort as DeclaredCohort
    from storage_schemas.parts import Part as Part
    from storage_schemas.parts import Receipt as Receipt
    from storage_schemas.parts import SaltCheck as SaltCheck
    from storage_schemas.parts import Withdrawal as Withdrawal
    from storage_schemas.policies import SitePolicy as SitePolicy
    from storage_schemas.results import EffectRow as EffectRow
    from storage_schemas.results import EpochRow as EpochRow
    from storage_schemas.results import LedgerEntry as LedgerEntry
    from storage_schemas.results import LesionRow as LesionRow
    from storage_schemas.results import OperatingRow as OperatingRow
    from storage_schemas.results import StudyRow as StudyRow
    from storage_schemas.retraining import RetrainDecision as RetrainDecision
    from storage_schemas.retraining import RetrainOutcome as RetrainOutcome
    from storage_schemas.rules import GateOutcome as GateOutcome
    from storage_schemas.rules import Rule as Rule
    from storage_schemas.runs import Cell as Cell
    from storage_schemas.runs import RunSpec as RunSpec
    from storage_schemas.runs import TrainingConfig as TrainingConfig
    from storage_schemas.sites import Consortium as Consortium
    from storage_schemas.sites import SmallestCounts as SmallestCounts
    from storage_schemas.splits import Split as Split
    from storage_schemas.submissions import Submission as Submission
    from storage_schemas.submissions import SubmissionAttempt as SubmissionAttempt
    from storage_schemas.submissions import SubmissionOutcome as SubmissionOutcome
    from storage_schemas.submissions import SubmissionProgress as SubmissionProgress
    from storage_schemas.tasks import Task as Task
    from storage_schemas.verdicts import StudyVerdict as StudyVerdict
    from storage_schemas.verdicts import VerdictRow as VerdictRow
    from storage_schemas.versions import ResultVersions as ResultVersions
    from storage_schemas.volumes import Grid as Grid
    from storage_schemas.volumes import PredictionCard as PredictionCard
    from storage_schemas.volumes import StudyVolumeCard as StudyVolumeCard

_HOMES = {
    "lesionlab.analysis.experiment_analysis": ("Analysis", "analyse"),
    "lesionlab.analysis.report": ("ReportResult", "write_report"),
    "lesionlab.analysis.statistics.conditions": ("Condition",),
    "lesionlab.analysis.statistics.summary": ("Summary",),
    "lesionlab.errors": (
        "AccessDenied",
        "ClusterError",
        "Conflict",
        "DamagedObject",
        "DatasetError",
        "ImageError",
        "InputError",
        "LesionlabError",
        "LimitReached",
        "MissingObject",
        "NotAllowed",
        "NotThere",
        "ObjectExists",
        "RunFailed",
        "RunHeld",
        "RunYielded",
        "SpecError",
        "StoreError",
        "StoreUnreachable",
        "StudyRefused",
        "TrainingError",
        "TransferError",
    ),
    "lesionlab.evaluation.lesionwise": ("Score", "ScoredLesion", "score"),
    "lesionlab.evaluation.predict": ("NativePrediction", "predict_native"),
    "lesionlab.evaluation.registered_network": ("registered_network",),
    "lesionlab.evaluation.study": ("StoredPrediction", "read_prediction"),
    "lesionlab.experiments.cells": ("cells",),
    "lesionlab.experiments.stored_plans": ("current_plan", "store_plan"),
    "lesionlab.experiments.ledger": ("completed", "ledger_entries"),
    "lesionlab.experiments.publishing": ("lesion_rows", "operating_rows", "study_rows"),
    "lesionlab.experiments.registry": ("find_model", "models", "register"),
    "lesionlab.experiments.manifests": ("current_manifest",),
    "lesionlab.experiments.store_planning": ("plan_experiment",),
    "lesionlab.experiments.spec_files": ("read_spec",),
    "lesionlab.imaging.volume": ("Volume", "read_mask", "read_volume", "write_volume"),
    "lesionlab.orchestration.execution": ("execute",),
    "lesionlab.orchestration.progress": ("RunningCell", "SweepProgress"),
    "lesionlab.preprocessing.channels": ("PreparedImages", "prepare_images"),
    "lesionlab.store.base": ("Store",),
    "lesionlab.store.objects": ("open_store",),
    "storage_schemas.audit": ("AuditEntry",),
    "storage_schemas.base": ("Document", "Named", "Pointer"),
    "storage_schemas.benchmarks": ("Benchmark", "Ticket"),
    "storage_schemas.decisions": ("Champion", "Decision"),
    "storage_schemas.definitions": ("MetricDefinition", "definition_named"),
    "storage_schemas.experiments": ("ExperimentSpec", "Plan"),
    "storage_schemas.facts": ("StudyFacts",),
    "storage_schemas.grading": ("InsertedLesion",),
    "storage_schemas.identity": ("identity", "identity_digest", "identity_json"),
    "storage_schemas.leases": ("ActiveSweep", "Failure", "Lease"),
    "storage_schemas.manifests": ("Manifest", "ManifestEntry"),
    "storage_schemas.imports": ("ImportCard",),
    "storage_schemas.models": ("Architecture", "Declared", "InferenceConfig", "ModelCard", "TensorTransfer"),
    "storage_schemas.parts": ("DeclaredCohort", "Part", "Receipt", "SaltCheck", "Withdrawal"),
    "storage_schemas.policies": ("SitePolicy",),
    "storage_schemas.results": ("EffectRow", "EpochRow", "LedgerEntry", "LesionRow", "OperatingRow", "StudyRow"),
    "storage_schemas.retraining": ("RetrainDecision", "RetrainOutcome"),
    "storage_schemas.rules": ("GateOutcome", "Rule"),
    "storage_schemas.runs": ("Cell", "RunSpec", "TrainingConfig"),
    "storage_schemas.sites": ("Consortium", "SmallestCounts"),
    "storage_schemas.splits": ("Split",),
    "storage_schemas.submissions": (
        "Submission",
        "SubmissionAttempt",
        "SubmissionOutcome",
        "SubmissionProgress",
    ),
    "storage_schemas.tasks": ("Task",),
    "storage_schemas.verdicts": ("StudyVerdict", "VerdictRow"),
    "storage_schemas.versions": ("ResultVersions",),
    "storage_schemas.volumes": ("Grid", "PredictionCard", "StudyVolumeCard"),
}
"""Every public name, by the module that defines it."""

_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


if not TYPE_CHECKING:  # a type checker would take every name for one of the module's

    def __getattr__(name: str) -> Any:
        """Import a public name on first use. Raises AttributeError for any other name."""
        if name not in _HOME:
            raise AttributeError(f"lesionlab.api has no name {name!r}; its names are {', '.join(__all__)}")
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return list(__all__)
