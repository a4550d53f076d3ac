"""Manifests and ledger entries made of numbers: planning needs no voxels."""

from __future__ import annotations

from lesionlab.experiments.audit import append
from lesionlab.store.objects import Store
from storage_schemas.audit import AuditedStudies, AuditEntry
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.results import LedgerEntry
from storage_schemas.tasks import TASKS, Task


def entry(
    number: int,
    *,
    patient: str | None = None,
    image: int | None = None,
    site: str = "a",
    load_ml: float = 1.5,
    second_rater: bool = False,
    further: tuple[int, ...] = (),
) -> ManifestEntry:
    """Study `number`, by default with a patient and an image of its own."""
    return ManifestEntry(
        study=f"sub-{number:04d}",
        patient=patient or f"p{number}",
        site=site,
        volume=f"{number:016x}",
        image_sha256=f"{number if image is None else image:064x}",
        further_images_sha256=tuple(f"{other:064x}" for other in further),
        lesions=3,
        lesion_volume_ml=load_ml,
        second_rater=second_rater,
    )


def manifest(*entries: ManifestEntry, cohort: str = "ms", task: Task = TASKS["flair-single"]) -> Manifest:
    return Manifest.named(cohort=cohort, task=task, spacing_mm=1.0, studies=entries)


def cohort_of(count: int, **changes: object) -> Manifest:
    """`count` studies of as many patients."""
    return manifest(*(entry(number) for number in range(count))).changed(**changes)


def ledger_entry(run_id: str, **changes: object) -> LedgerEntry:
    """The entry of a run that was never executed."""
    fields = {
        "experiment": "drawn",
        "tested": 1,
        "epochs": 1,
        "steps": 1,
        "final_loss": 0.5,
        "workers": 1,
        "device": "cpu",
        "training_s": 1.0,
        "evaluation_s": 1.0,
        "attempts": 1,
        "lesionlab": "0.2.0",
        "code": "0" * 16,
        "libraries": {},
    }
    return LedgerEntry.model_validate({"run_id": run_id} | fields | changes)


def append_entry(store: Store, number: int, writer: str = "trainer") -> AuditEntry:
    """Append an entry whose action is this number."""
    return append(
        store,
        [writer],
        lambda own, place: AuditEntry(
            writer=own,
            number=place[0],
            before=place[1],
            at="2026-11-28T00:00:00+00:00",
            who="somebody",
            known_by="login",
            action=f"{number:016x}",
            command="sweep",
            about="drawn",
            studies=(AuditedStudies(site="north", cohort="ms", studies=number),),
            outcome="done",
            lesionlab="0.2.0",
            code="0" * 16,
        ),
    )
