"""Say what makes each kind of damaged object whole again, and do it where a second copy exists."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from lesionlab.errors import DamagedObject, InputError, LesionlabError, MissingObject
from lesionlab.experiments.champions import newest_decision
from lesionlab.experiments.ledger import copy_of, reopen
from lesionlab.experiments.manifests import frozen_manifest
from lesionlab.experiments.parts import current_part
from lesionlab.experiments.publishing import publish
from lesionlab.experiments.registry import register
from lesionlab.experiments.splits import stored_split
from lesionlab.experiments.upkeep.contents import Contents
from lesionlab.experiments.upkeep.kinds import faults_of, kind_of, place_of
from lesionlab.store.documents import document_bytes, read_document, write_document
from storage_schemas import keys
from storage_schemas.base import Digest
from storage_schemas.decisions import Champion
from storage_schemas.keys import KeyPattern
from storage_schemas.models import ModelCard
from storage_schemas.results import LedgerEntry

_NOTHING_DEPENDS = (
    *(keys.FAILURE, keys.LEASE, keys.ACTIVE_SWEEP, keys.STUDY_PICTURE),
    *(keys.RUN_HISTORY, keys.RUN_CHECKPOINT),
)
"""Kinds of objects on which nothing depends, so that a damaged one may go."""


@dataclass
class Remedy:
    """What to do about one damaged object; `restore` makes it whole, `prepare` lets the command make it again."""

    command: str = ""
    restore: Callable[[], None] | None = None
    restored: str = "restored"
    prepare: Callable[[], None] | None = None
    _done: bool = False

    def apply(self) -> bool:
        """Restore the object; False if that is not possible and a command must make it again."""
        if self.restore:
            with suppress(LesionlabError):
                self.restore()
                self._done = True
                return True
        if self.prepare:
            self.prepare()
        return False

    def told(self, *, applied: bool) -> str:
        """What was done, or what to do."""
        if self._done:
            return self.restored
        if self.restore and not applied:
            return "lesionlab fsck --repair restores it" if not self.command else f"fsck --repair, or {self.command}"
        if self.prepare and not applied:
            return f"lesionlab fsck --repair, then {self.command}"
        return self.command


class Remedies:
    """The remedies of one store."""

    def __init__(self, contents: Contents) -> None:
        self._contents, self._store = contents, contents.store

    def of(self, place: str) -> Remedy:
        """The remedy of a damaged or missing object or Zarr group."""
        found = kind_of(place)
        if found is None:
            return Remedy("restore it from a backup")
        kind, values = found
        if kind in (keys.PART, keys.CURRENT_PART, keys.VERDICTS, keys.FACTS):
            return Remedy(
                f"lesionlab preprocess DATASET --cohort {values['cohort']}, with the dataset of site {values['site']}, "
                "makes it again",
                prepare=lambda: self._forget(values),
            )
        if kind == keys.MANIFEST:
            return Remedy(
                f"lesionlab sweep with the experiment file plans with what cohort {values['cohort']} is now",
                lambda: self._unite(values),
                "computed again from the sites' parts",
            )
        if kind in (keys.RECEIPT, keys.WITHDRAWAL, keys.COHORT, keys.SALT_CHECK):
            return Remedy("restore it from a backup")
        if kind == keys.SMALLEST_COUNTS:
            return Remedy("lesionlab storage init sites.yaml writes it again")
        if kind == keys.POLICY:
            return Remedy(f"its site sets it again: lesionlab policy POLICY.yaml --site {values['site']}")
        if kind == keys.STUDY_VOLUME:
            return Remedy(self._preprocess(values["digest"]))
        if kind == keys.STUDY_VERDICT:
            return Remedy("lesionlab preprocess of its dataset makes it again", self._delete(place), "removed")
        if kind in _NOTHING_DEPENDS:
            return Remedy(restore=self._delete(place), restored="removed; nothing depends on it")
        if kind in (keys.SUBMISSION, keys.SUBMISSION_ATTEMPT, keys.SUBMISSION_OUTCOME, keys.SUBMISSION_PROGRESS):
            return Remedy("lesionlab submit with the experiment file writes it again", self._delete(place), "removed")
        if kind == keys.SPLIT:
            return Remedy(
                "lesionlab sweep with the experiment file draws it again", lambda: self._draw(values), "drawn again"
            )
        if kind in (keys.PLAN, keys.CURRENT_PLAN):
            return Remedy(
                f"lesionlab sweep with the same experiment file of {values['experiment']} plans it again; if it gives "
                "another plan, restore it from a backup: it holds the endpoint that was planned first"
            )
        if kind in (keys.STUDY_ROWS, keys.LESION_ROWS, keys.OPERATING_ROWS):
            return self._rerun(values["run_id"], lambda: self._publish(values), "copied from the run's own rows")
        if kind in (keys.RESCORED_STUDY_ROWS, keys.RESCORED_LESION_ROWS):
            return Remedy(
                f"lesionlab rescore {values['experiment']} makes it again", lambda: self._unscore(values), "removed"
            )
        if kind == keys.SEALED_VOLUME:
            return Remedy("restore it from a backup: it was moved from its site when its benchmark was sealed")
        if kind == keys.SELF_GRADE:
            return Remedy("lesionlab self-grade makes it again", self._delete(place), "removed")
        models = (keys.MODEL_WEIGHTS, keys.MODEL_CARD, keys.MODEL_TRANSFER)
        if kind in models and values["version"] not in self._contents.runs:
            return Remedy(
                "lesionlab register (an ensemble) or lesionlab import (weights from elsewhere) writes it again"
            )
        if kind in models:
            return self._rerun(values["version"], lambda: self._register(values), "copied from the run's own model")
        if kind == keys.CHAMPION:
            return Remedy(
                "restore it from a backup", lambda: self._point_again(values["name"]), "pointed to the newest decision"
            )
        if kind in (keys.DECISION, keys.BENCHMARK, keys.RULE, keys.TICKET, keys.GATE_OUTCOME, keys.GATE_ROWS) or (
            kind in (keys.RETRAIN_DECISION, keys.RETRAIN_OUTCOME, keys.GATE_GRADES)
        ):
            return Remedy("restore it from a backup: it is evidence for a decision")
        if kind == keys.AUDIT:
            return Remedy("restore it from a version of the bucket, or a backup: lesionlab audit --verify names it too")
        return self._of_run(kind, place, values["run_id"])

    def _of_run(self, kind: KeyPattern, place: str, run_id: Digest) -> Remedy:
        if kind == keys.RUN_SPEC:
            return Remedy(
                "lesionlab pretrain with the experiment file writes it again",
                lambda: self._respecify(run_id),
                "copied from a plan",
            )
        if kind == keys.LEDGER:
            return Remedy(
                f"{self._sweep(run_id)} again", lambda: self._close_again(run_id), "copied from its attempt's files"
            )
        if kind == keys.RUN_ENTRY:
            return Remedy(restore=lambda: self._copy_entry(run_id, place), restored="copied from the ledger")
        copies = {
            keys.RUN_WEIGHTS: keys.MODEL_WEIGHTS,
            keys.RUN_CARD: keys.MODEL_CARD,
            keys.RUN_TRANSFER: keys.MODEL_TRANSFER,
        }
        if kind in copies:
            return self._rerun(
                run_id, lambda: self._copy_back(copies[kind], place, run_id), "copied from the registered model"
            )
        return self._rerun(run_id)

    def _rerun(self, run_id: Digest, restore: Callable[[], None] | None = None, restored: str = "") -> Remedy:
        """An output of a complete run: it is restored, or the run counts as not complete and is executed again."""
        return Remedy(f"{self._sweep(run_id)} again", restore, restored, lambda: reopen(self._store, run_id))

    def _sweep(self, run_id: Digest) -> str:
        run = self._contents.runs.get(run_id)
        command = "pretrain" if run and run.cell is None else "sweep"
        of = f" of {run.experiment}" if run and run.cell else ""
        return f"lesionlab {command} with the experiment file{of} executes run {run_id}"

    def _preprocess(self, volume: Digest) -> str:
        cohorts = {
            owner.cohort for owner in self._contents.listings for entry in owner.studies if entry.volume == volume
        }
        names = " and ".join(sorted(cohorts)) or "its dataset"
        return f"lesionlab preprocess DATASET --cohort {names} makes it again"

    def _delete(self, key: str) -> Callable[[], None]:
        return lambda: self._store.delete(key)

    def _publish(self, values: dict[str, str]) -> None:
        for plan in self._contents.plans:
            if plan.spec.name == values["experiment"]:
                for run in plan.runs:
                    if run.run_id == values["run_id"]:
                        publish(self._store, run)
                        return
        raise InputError(f"no plan of {values['experiment']} has run {values['run_id']}")

    def _forget(self, values: dict[str, str]) -> None:
        """Delete a pointer that cannot be read, or whose part cannot: it would stop the command that moves it."""
        with suppress(DamagedObject, MissingObject):
            current_part(self._store, values["site"], values["cohort"])
            return
        self._store.delete(keys.CURRENT_PART.build(site=values["site"], cohort=values["cohort"]))

    def _unite(self, values: dict[str, str]) -> None:
        if frozen_manifest(self._store, values["cohort"]).id != values["digest"]:
            raise InputError(f"cohort {values['cohort']} has changed since")

    def _draw(self, values: dict[str, str]) -> None:
        for plan in self._contents.plans:
            manifest = next((m for m in self._contents.manifests if m.id == plan.manifest), None)
            if plan.split == values["digest"] and manifest:
                stored_split(self._store, manifest, plan.spec.target)
                return
        raise InputError(f"no plan has split {values['digest']}")

    def _unscore(self, values: dict[str, str]) -> None:
        for pattern in (keys.RESCORED_STUDY_ROWS, keys.RESCORED_LESION_ROWS):
            self._store.delete(pattern.build(**values))

    def _register(self, values: dict[str, str]) -> None:
        register(self._store, values["version"], values["name"])

    def _point_again(self, name: str) -> None:
        """Point to the newest decision about a model, if it is clear which one counts."""
        last = newest_decision(self._store, name)
        pointer = Champion(target=last.champion, decision=last.id)
        write_document(self._store, keys.CHAMPION.build(name=name), pointer)

    def _respecify(self, run_id: Digest) -> None:
        run = next((run for plan in self._contents.plans for run in plan.runs if run.run_id == run_id), None)
        if run is None:
            raise InputError(f"no plan has run {run_id}")
        write_document(self._store, keys.RUN_SPEC.build(run_id=run_id), run)

    def _close_again(self, run_id: Digest) -> None:
        """Copy a ledger entry back from the files of its attempt, if all of these are whole.

        Two attempts that are complete are told apart by the entry alone, so then the run is executed again.
        """
        run, copy = self._contents.runs.get(run_id), copy_of(self._store, run_id)
        if run is None or copy is None:
            raise MissingObject(f"run {run_id}: no copy of its ledger entry")
        entry = read_document(self._store, copy, LedgerEntry)
        own = keys.ATTEMPT.build(run_id=run_id, attempt=entry.attempt) + "/"
        there = {place for key in self._contents.names if key.startswith(own) and (place := place_of(key))}
        wanted = {*self._contents.outputs(run, entry.attempt), copy}
        faults = [fault for place in sorted(there) for fault in faults_of(self._store, place, lambda data: True)]
        if entry.run_id != run_id or not wanted <= there or faults:
            raise InputError(f"run {run_id}: attempt {entry.attempt} is not whole")
        key = keys.LEDGER.build(run_id=run_id)
        # On the condition that it is the damaged one: a sweep may have completed the run again meanwhile.
        self._store.replace(key, self._store.get(copy), self._store.get_tagged(key).tag)

    def _copy_entry(self, run_id: Digest, place: str) -> None:
        self._store.put(place, document_bytes(self._contents.ledger[run_id]))

    def _copy_back(self, registered: KeyPattern, place: str, run_id: Digest) -> None:
        """Copy a registered object to the run that it came from, if it is whole."""
        for key in self._contents.names if run_id in self._contents.runs else ():
            values = registered.parse(key)
            if values and values["version"] == run_id and not faults_of(self._store, key, lambda data: True):
                if registered == keys.MODEL_CARD:
                    card = read_document(self._store, key, ModelCard)
                    own = card.model_copy(update={"name": self._contents.runs[run_id].experiment})
                    write_document(self._store, place, own)
                else:
                    self._store.put(place, self._store.get(key))
                return
        raise MissingObject(f"run {run_id} is not registered")
