"""Take a study out of everything: its site withdraws it, and a steward removes what was made from it.

Withdrawal goes before every reference. The site removes its volumes and takes it from its parts, so the next plan is
without it. What others wrote (predictions, rows, reports) only a steward may remove. Ledger entries stay, marked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lesionlab.errors import Conflict, InputError, MissingObject, StoreError
from lesionlab.experiments.lineage import withdrawn_studies
from lesionlab.experiments.parts import ATTEMPTS, contended, current_part, move_part
from lesionlab.experiments.upkeep.contents import Contents
from lesionlab.store.arrays import delete_group
from lesionlab.store.documents import document_bytes, parse_document, read_document, write_document
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas import keys
from storage_schemas.base import Digest, Document, Slug, StudyId, StudyLabel
from storage_schemas.benchmarks import Benchmark
from storage_schemas.facts import StudyFacts
from storage_schemas.grading import InsertedLesion
from storage_schemas.keys import KeyPattern
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.models import ModelCard
from storage_schemas.parts import Part, Withdrawal
from storage_schemas.results import LedgerEntry, LesionRow, OperatingRow, StudyRow
from storage_schemas.verdicts import VerdictRow

ROWS: dict[KeyPattern, type[Document]] = {
    **dict.fromkeys((keys.RUN_STUDY_ROWS, keys.STUDY_ROWS, keys.RESCORED_STUDY_ROWS), StudyRow),
    **dict.fromkeys((keys.RUN_LESION_ROWS, keys.LESION_ROWS, keys.RESCORED_LESION_ROWS), LesionRow),
    **dict.fromkeys((keys.RUN_OPERATING_ROWS, keys.OPERATING_ROWS), OperatingRow),
}


@dataclass(frozen=True)
class Removed:
    """What a steward removed."""

    runs: tuple[Digest, ...]
    """Runs that trained on, or tested, a withdrawn study; their ledger entries say so."""
    models: tuple[str, ...]
    """Registered models that were trained on one, or started from such a model: `name@version`. What becomes of them is
    for people to decide."""
    places: tuple[str, ...]
    """Keys and prefixes that were removed or written again, now or by an earlier call, whose older versions go too."""


def withdraw(store: Store, site: Slug, studies: Collection[StudyLabel], at: str) -> tuple[Part, ...]:
    """Take a site's studies from its parts and remove its volumes; return the parts without them.

    Needs the site's own folder only. Can be stopped and called again. Raises InputError with every study that the site
    does not have.
    """
    folder = f"{keys.SITE.build(site=site)}/"
    cohorts = [found.rstrip("/").rpartition("/")[2] for found in store.folders(f"{folder}cohorts/")]
    parts = [part for cohort in cohorts if (part := current_part(store, site, cohort)) is not None]
    listed = {study for part in parts for study in _listed(part)}
    entries = [entry for part in parts for entry in part.studies]  # a benchmark may have sealed their volumes
    there = {
        study: _volumes(store, site, study) | {entry.volume for entry in entries if entry.study == study}
        for study in studies
    }
    unknown = [
        study
        for study in studies
        if not there[study] and study not in listed and not store.exists(keys.WITHDRAWAL.build(site=site, study=study))
    ]
    if unknown:
        raise InputError(*(f"site {site}: no study {study}; nothing was withdrawn" for study in unknown))
    # First, because a call that was stopped learns from it alone which volumes a study had that was sealed.
    for study in studies:
        key = keys.WITHDRAWAL.build(site=site, study=study)
        before = read_document(store, key, Withdrawal).volumes if store.exists(key) else ()
        volumes = tuple(sorted({*before, *there[study]}))
        write_document(store, key, Withdrawal(site=site, study=study, volumes=volumes, at=at))
    changed = tuple(part for cohort in cohorts if (part := _without(store, site, cohort, studies)) is not None)
    for kind, model in ((keys.VERDICTS, VerdictRow), (keys.FACTS, StudyFacts)):
        for key in store.list(f"{folder}cohorts/"):
            if kind.parse(key):
                _rewrite(store, key, model, set(studies))
    for study in studies:
        for digest in there[study]:
            delete_group(store, keys.STUDY_VOLUME.build(site=site, study=study, digest=digest))
        store.delete_prefix(f"{folder}volumes/{study}/")
    return changed


def withdrawals(store: Store) -> list[Withdrawal]:
    """Everything that any site has withdrawn."""
    found = [key for key in store.list(keys.SITES) if keys.WITHDRAWAL.parse(key)]
    return [read_document(store, key, Withdrawal) for key in found]


def execute(store: Store, withdrawn: Sequence[Withdrawal]) -> Removed:
    """Remove what was made from withdrawn studies: predictions, rows and reports; mark the ledger's entries.

    Needs every right. Can be stopped and called again. Raises StoreError if a document cannot be read that may say
    which runs read a withdrawn study.
    """
    names = store.list("")
    gone = {volume for one in withdrawn for volume in _with_sealed(store, one, names).volumes}
    contents = Contents(store, frozenset(names))
    if unreadable := contents.unreadable(frozenset(key for key in names if keys.LEDGER.parse(key))):
        raise StoreError(
            f"{store.uri}: what was made from withdrawn studies cannot be told, because {', '.join(unreadable)} cannot "
            "be read; nothing was removed; call lesionlab fsck --repair first"
        )
    touched = {
        run.run_id: own
        for run in contents.runs.values()
        if (own := {entry.study for entry in (*run.train, *run.test) if entry.volume in gone})
    }
    for run_id in touched:
        _remove_predictions(store, run_id, [e for e in contents.runs[run_id].test if e.volume in gone], names)
    sites = sorted({one.site for one in withdrawn})
    places = [f"{keys.SITE.build(site=site)}/{folder}/" for site in sites for folder in ("volumes", "cohorts")]
    places += [f"runs/{run_id}/" for run_id in touched]
    experiments: set[Slug] = set()
    for key in names:
        if keys.SELF_GRADE.parse(key) or keys.GATE_GRADES.parse(key):
            for site in sites:
                own = {label for one in withdrawn if one.site == site for label in (one.study, f"{site}/{one.study}")}
                _rewrite(store, key, InsertedLesion, own, site)
            places.append(key)
    for key in names:
        kind, values = _kind(key)
        if kind is not None and values["run_id"] in touched:
            _rewrite(store, key, ROWS[kind], touched[values["run_id"]])
            places.append(key)
            experiments |= {values["experiment"]} if "experiment" in values else set()
    for experiment in sorted(experiments):
        folder = f"reports/{experiment}/"
        store.delete_prefix(folder)
        places.append(folder)
    places += _rewrite_looks(store, names, gone)
    for one in withdrawn:
        store.delete_prefix(_sealed_folder(one))
        places.append(_sealed_folder(one))
    for run_id, studies in touched.items():
        _mark(store, run_id, studies)
    cards = (read_document(store, key, ModelCard) for key in names if keys.MODEL_CARD.parse(key))
    models = tuple(card.full_name for card in cards if withdrawn_studies(store, card))
    return Removed(tuple(touched), models, tuple(places))


def _rewrite_looks(store: Store, names: Iterable[str], gone: Collection[Digest]) -> list[str]:
    """Write the rows on benchmarks again without withdrawn studies; their keys. What was decided with them stays."""
    places = []
    for key in names:
        if values := keys.BENCHMARK.parse(key):
            held = read_document(store, key, Benchmark)
            place = keys.MANIFEST.build(cohort=held.cohort, digest=held.manifest)
            manifest = read_document(store, place, Manifest)
            if own := {entry.study for entry in manifest.studies if entry.volume in gone}:
                looks = store.list(keys.GATE_ROWS.prefix(benchmark=values["digest"]))
                for look in looks:
                    _rewrite(store, look, StudyRow, own)
                places += looks
    return places


def _volumes(store: Store, site: Slug, study: StudyLabel) -> set[Digest]:
    """Digests of every volume of the study, complete or not."""
    found = store.folders(f"{keys.SITE.build(site=site)}/volumes/{study}/")
    values = (keys.STUDY_VOLUME.parse(folder.rstrip("/")) for folder in found)
    return {value["digest"] for value in values if value}


def _listed(part: Part) -> set[str]:
    """Labels of the studies of a part, and of those that failed quality control."""
    return {entry.study for entry in part.studies} | {one.study for one in part.excluded}


def _without(store: Store, site: Slug, cohort: Slug, studies: Collection[StudyLabel]) -> Part | None:
    """The site's part of a cohort without these studies, made current; None if it had none of them."""
    for _ in range(ATTEMPTS):
        before = current_part(store, site, cohort)
        if before is None or not _listed(before) & {*studies}:
            return None
        part = before.changed(
            studies=tuple(entry for entry in before.studies if entry.study not in studies),
            excluded=tuple(one for one in before.excluded if one.study not in studies),
        )
        for kind in (keys.VERDICTS, keys.FACTS):
            old = kind.build(site=site, cohort=cohort, digest=before.id)
            if store.exists(old):
                store.put(kind.build(site=site, cohort=cohort, digest=part.id), store.get(old))
        try:
            move_part(store, part, before.id)
        except Conflict:
            continue
        return part
    raise contended(site)


def _rewrite(store: Store, key: str, model: type[Document], studies: Collection[str], site: Slug | None = None) -> None:
    """Write a table again without the rows of these studies, of this site if one is given."""
    rows = read_rows(store, [key], model)
    kept = [row for row in rows if row.study not in studies or site not in (None, row.site)]  # type: ignore[attr-defined]
    if len(kept) < len(rows):
        write_rows(store, key, kept, model)


def _sealed_folder(one: Withdrawal) -> str:
    """Where the volumes of a study lie that a sealed benchmark holds, see `benchmarks.seal`."""
    return keys.SEALED_VOLUME.prefix(site=one.site, study=one.study)


def _with_sealed(store: Store, one: Withdrawal, names: Iterable[str]) -> Withdrawal:
    """The receipt, stored again with volumes that sealed benchmarks hold and that its site could not see."""
    groups = (name.removesuffix("/zarr.json") for name in names if name.startswith(_sealed_folder(one)))
    sealed = {values["digest"] for group in groups if (values := keys.SEALED_VOLUME.parse(group))}
    if sealed <= {*one.volumes}:
        return one
    whole = one.model_copy(update={"volumes": tuple(sorted(sealed | {*one.volumes}))})
    write_document(store, keys.WITHDRAWAL.build(site=one.site, study=one.study), whole)
    return whole


def _remove_predictions(store: Store, run_id: Digest, entries: Iterable[ManifestEntry], names: Iterable[str]) -> None:
    """Of all attempts of the run, also what a stopped writer, or a stopped call, left of one."""
    own = [name for name in names if name.startswith(f"runs/{run_id}/")]
    for entry in entries:
        group = keys.prediction_key(run_id, entry.study).removeprefix(f"runs/{run_id}")
        for attempt in {name.partition(f"{group}/")[0] for name in own if f"{group}/" in name}:
            delete_group(store, f"{attempt}{group}")


def _kind(key: str) -> tuple[KeyPattern | None, dict[str, str]]:
    head, found, rest = key.partition("/attempts/")
    plain = f"{head}/{rest.partition('/')[2]}" if found else key
    for kind in ROWS:
        if values := kind.parse(plain):
            return kind, values
    return None, {}


def _mark(store: Store, run_id: Digest, studies: Collection[StudyId]) -> None:
    key = keys.LEDGER.build(run_id=run_id)
    for _ in range(ATTEMPTS):
        try:
            found = store.get_tagged(key)
        except MissingObject:
            return
        if not found.data:
            return
        entry = parse_document(store, key, LedgerEntry, found.data)
        marked = entry.model_copy(update={"withdrawn": tuple(sorted({*entry.withdrawn, *studies}))})
        copy, data = keys.RUN_ENTRY.of(entry.attempt).build(run_id=run_id), document_bytes(marked)
        # First: a call that was stopped must not leave one that forgets the withdrawal.
        if store.exists(copy) and store.get(copy) != data:
            store.put(copy, data)
        if marked == entry:
            return
        try:
            store.replace(key, data, found.tag)
        except Conflict:
            continue
        return
