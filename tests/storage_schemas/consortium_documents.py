"""One document of each kind that a single hospital's experiment does not leave: of a consortium, a gate, a cluster."""

from __future__ import annotations

from typing import Any

from storage_schemas.audit import AuditedStudies, AuditEntry
from storage_schemas.base import Document
from storage_schemas.benchmarks import Benchmark, Ticket
from storage_schemas.decisions import Champion, Decision
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.grading import InsertedLesion
from storage_schemas.leases import ActiveSweep, Failure, Lease
from storage_schemas.models import ModelName
from storage_schemas.parts import DeclaredCohort, Receipt, SaltCheck, Withdrawal
from storage_schemas.retraining import Gain, RetrainDecision, Retraining, RetrainOutcome, Shift
from storage_schemas.rules import (
    ConditionOutcome,
    Detects,
    GateOutcome,
    LeastPatients,
    NonInferior,
    NoSiteWorse,
    Rule,
    Superior,
)
from storage_schemas.sites import SmallestCounts
from storage_schemas.submissions import Submission, SubmissionAttempt, SubmissionOutcome, SubmissionProgress
from storage_schemas.tasks import TASKS
from storage_schemas.versions import ResultVersions

A, B, C = ("a" * 16, "b" * 16, "c" * 16)
SHA = "d" * 64
AT = "2026-11-28T12:00:00+00:00"
WHO = {"by": "ann@north", "at": AT}


def documents(spec: ExperimentSpec, versions: ResultVersions) -> tuple[Document, ...]:
    """With every optional field set, so that each is read again."""
    conditions = (
        NonInferior(metric="sensitivity", margin=0.05),
        Superior(metric="ppv"),
        NoSiteWorse(metric="dice", margin=0.1),
        LeastPatients(patients=20),
        Detects(diameter_mm=3.0, contrast=1.0, least=0.5),
    )
    retraining = Retraining(
        experiment="ms", cohort="ms", source=ModelName(name="glioma", version=A), gpu_hours=40.0, cool_down_days=60
    )
    rule = Rule.named(model="ms", benchmark=B, conditions=conditions, alpha=0.04, looks=2, retraining=retraining)
    outcome = GateOutcome(
        rule=rule.id,
        ticket=1,
        candidate=A,
        champion=C,
        level=0.02,
        conditions=tuple(_found(condition) for condition in conditions),
        champion_rows=SHA,
        candidate_rows=SHA,
        candidate_grades=SHA,
    )
    decision = Decision.named(
        model="ms", number=2, before=C, kind="promotion", champion=A, weights_sha256=SHA, replaced=C,
        reason="better PPV", gate=outcome, **WHO,
    )  # fmt: skip
    submission = Submission.named(
        spec=spec, manifests={spec.target.cohort: A}, versions=versions, device="cuda", gpus_per_worker=0.5, slots=4,
        max_gpu_hours=12.5,
    )  # fmt: skip
    own = {"submission": submission.id, "number": 1}
    shift = Shift(name="noise of flair", before=40, now=10, median_before=1.0, median_now=1.4, p=0.004, drifted=True)
    words = Shift(name="site", before=40, now=10, new=("west",), drifted=True)
    return (
        SmallestCounts(consortium="ms-pool", smallest_count=10, sites={"north": 12}),
        DeclaredCohort(
            cohort="ms", sites=("north", "south"), task=TASKS["flair-single"], spacing_mm=1.0, strip="deepbet",
            rating="Two raters, consensus.", second_rater="required", register_check=SHA,
        ),
        Receipt.named(
            site="north", cohort="ms", what="contributed", part=A, studies=("sub-a1b2c3d4e5f6",), objects=12,
            size=123_456, at=AT, lesionlab="0.2.0",
        ),
        SaltCheck(check=SHA),
        Withdrawal(site="north", study="sub-a1b2c3d4e5f6", volumes=(A, B), at=AT),
        AuditEntry(
            writer="contributor-north", number=2, before=SHA, at=AT, who="ann@north", known_by="declared", action=A,
            command="contribute", about="ms", outcome="failed", fault="InputError", lesionlab="0.2.0", code=B,
            studies=(AuditedStudies(site="north", cohort="ms", part=A, studies=12),), image="lesionlab:0.2.0",
        ),
        Benchmark.named(name="bench", cohort="held-out", manifest=A, same_patients=("ms",), patient_register="pool"),
        rule,
        Ticket(
            benchmark=B, number=1, rule=rule.id, model="ms", candidate=A, champion=C, weights_sha256=SHA, spent=0.02,
            **WHO,
        ),
        outcome,
        decision,
        Champion(target=A, decision=decision.id),
        RetrainDecision(
            rule=rule.id, model="ms", date="2026-11-28", manifest=A, champion=C, last_training="2026-09-01",
            patients_before=40, patients_now=50, new_patients=10, set_aside=3, quarantined=0.1,
            gain=Gain(size_before=40, size_now=50, largest=60, expected=0.03, noise=0.01), shifts=(shift, words),
            spent_gpu_hours=3.5, expected_gpu_hours=4.5, looks_left=1, accepted="a new scanner", verdict="train",
            reasons=("10 new patients",), next_date="2027-01-27", run=A,
        ),
        RetrainOutcome(
            rule=rule.id, date="2026-11-28", candidate=A, promoted=True, ticket=1, note="it passed the rule"
        ),
        Lease(
            run_id=A, submission=B, attempt="001-a", number=1, holder="ann@north", node="node-1", since=AT, beat=3,
            epoch=1, step=10, steps=20, loss=0.25, released=True,
        ),
        ActiveSweep(
            experiment="ms",
            submission=B,
            holder="ann@north",
            since=AT,
            running=2,
            left=3,
            waiting="2 GPUs a run, 1 there",
            waiting_s=190.0,
        ),
        Failure(run_id=A, kind="memory", message="out of memory", holder="ann@north", node="node-1", number=2),
        submission,
        SubmissionAttempt(**own, **WHO, place="lesionlab-north/lesionlab-a"),
        SubmissionOutcome(**own, ending="done", faults=("why",), report="reports/ms/a/report.html", at=AT),
        SubmissionProgress(**own, stage="sweep", text="cells: 3/5 done", done=3, total=5),
    )  # fmt: skip


INSERTED = InsertedLesion(
    model="ms", version=A, cohort="ms", manifest=B, study="north/sub-a1b2c3d4e5f6", patient="north/a1b2c3d4e5f6",
    site="north", channel="flair", definition="paper@0", diameter_mm=3.0, contrast=1.0, height="middle",
    region="central", x_mm=1.0, y_mm=2.0, z_mm=3.0, detected=True, marked_before=False,
)  # fmt: skip


def _found(condition: Any) -> ConditionOutcome:
    return ConditionOutcome(condition=condition, passed=True, patients=24, estimate=0.1, limit=0.02, p=0.01, site="a")
