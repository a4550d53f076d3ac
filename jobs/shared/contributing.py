"""Send a site's dataset to a cohort of several sites, or show what would be sent."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from jobs.shared.console import console, notes
from jobs.shared.dataset_screening import open_screened, study_map
from jobs.shared.progress import steps
from lesionlab.errors import InputError, ObjectExists
from lesionlab.experiments.parts import Second, current_part
from lesionlab.experiments.withdrawn_models import withdrawn_labels
from lesionlab.preprocessing.cohort import Each, Ingested, preprocess_cohort
from lesionlab.preprocessing.contribution import Contribution, prepare, salt_check
from lesionlab.preprocessing.costs import study_cost
from lesionlab.preprocessing.files import Dataset
from lesionlab.preprocessing.ingest import Recipe
from lesionlab.store.documents import create_document, create_named
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.base import Slug
from storage_schemas.facts import StudyFacts
from storage_schemas.parts import DeclaredCohort, Part, Receipt, SaltCheck


@dataclass(frozen=True)
class ReadySite:
    """A site that is invited, with its secrets and what it says about its studies."""

    store: Store
    declared: DeclaredCohort
    site: Slug
    salt: str
    register_salt: str | None
    scrub: bool
    accept: frozenset[str]
    registered: bool

    def __repr__(self) -> str:
        return f"ReadySite({self.site})"  # without the salts: it may stand in a traceback

    @property
    def recipe(self) -> Recipe:
        """How the cohort's studies are prepared at every site."""
        declared = self.declared
        return Recipe(declared.task, declared.spacing_mm, self.scrub, self.accept, self.registered, declared.strip)

    def opened(self, path: Path, *, absolute_paths: bool) -> Contribution:
        """The dataset as it may leave. Raises DatasetError and InputError with every fault that stops all of it."""
        found: list[Contribution] = []

        def renamed(dataset: Dataset) -> Dataset:
            found.append(prepare(dataset, self.site, self.salt, self.register_salt))
            return found[0].dataset

        screened = open_screened(
            path, self.recipe, self.site, hash_ids=False, absolute_paths=absolute_paths, renamed=renamed
        )
        return Contribution(screened, found[0].tokens)

    def ingest(
        self, store: Store, dataset: Contribution, each: Each, second: Second, *, exclude_faulty: bool
    ) -> Ingested:
        """Preprocess the dataset into a store."""
        with steps(f"preprocessing {self.declared.cohort}") as step:
            return preprocess_cohort(
                store,
                dataset.dataset,
                self.recipe,
                cohort=self.declared.cohort,
                exclude_faulty=exclude_faulty,
                second=second,
                tokens=dataset.tokens,
                each=each,
                progress=step,
            )


def contribute_dataset(
    own: ReadySite,
    dataset: Contribution,
    *,
    exclude_faulty: bool,
    second: Second,
    plain: bool,
    workers: int | None,
) -> Receipt:
    """Send a dataset; return the receipt. Raises InputError if the salt is not that of earlier contributions."""
    check_salt(own)
    refuse_withdrawn(own, dataset.dataset)
    recipe = own.recipe
    cost = study_cost(recipe.task, recipe.spacing_mm, recipe.stripper)
    each = study_map(dataset.dataset, cost, workers, plain=plain)
    ingested = own.ingest(own.store, dataset, each, second, exclude_faulty=exclude_faulty)
    for exclusion in ingested.manifest.excluded:
        notes.print(f"excluded {exclusion.study}: {'; '.join(exclusion.faults)}", style="yellow")
    (part,) = ingested.parts
    sizes = [found.size for found in own.store.listed(_volumes(own.site)) if _is_of(part, found.key)]
    receipt = Receipt.named(
        site=own.site,
        cohort=own.declared.cohort,
        what="contributed",
        part=part.id,
        studies=tuple(entry.study for entry in part.studies),
        objects=len(sizes),
        size=sum(sizes),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        lesionlab=version("lesionlab"),
    )
    create_named(own.store, keys.RECEIPT.build(site=own.site, digest=receipt.id), receipt)
    return receipt


def check_salt(own: ReadySite) -> None:
    """Keep what tells a wrong salt, or compare. Raises InputError if another salt made the site's pseudonyms."""
    check = SaltCheck(check=salt_check(own.salt))
    try:
        create_document(own.store, keys.SALT_CHECK.build(site=own.site), check)
    except ObjectExists as error:
        raise InputError(
            f"site {own.site}: the salt is not the one of earlier contributions; with it every patient would be a new "
            "one; use the earlier salt"
        ) from error


def refuse_withdrawn(own: ReadySite, dataset: Dataset) -> None:
    """Raises InputError with every study of the dataset that the site has withdrawn."""
    gone = withdrawn_labels(own.store, own.site)
    if again := sorted(files.study for files in dataset.studies if files.study in gone):
        raise InputError(*(f"{study}: was withdrawn; leave it out of the dataset" for study in again))


def show_what_would_leave(own: ReadySite, dataset: Contribution, *, exclude_faulty: bool, second: Second) -> None:
    """Prepare everything in a temporary folder; print each object with its size, and each fact."""
    with tempfile.TemporaryDirectory() as folder:
        draft = open_store(Path(folder, "draft").as_uri())
        before = current_part(own.store, own.site, own.declared.cohort)
        if before is not None:
            _copy_part(own.store, draft, before)
        there = set(draft.list(""))
        ingested = own.ingest(draft, dataset, map, second, exclude_faulty=exclude_faulty)
        sent = [found for found in draft.listed("") if found.key not in there]
        for found in sent:
            console.print(f"{found.key}: {found.size} bytes")
        (part,) = ingested.parts
        key = keys.FACTS.build(site=own.site, cohort=own.declared.cohort, digest=part.id)
        for fact in read_rows(draft, [key], StudyFacts):
            known = fact.model_dump(exclude_none=True)
            console.print(", ".join(f"{name} {value}" for name, value in known.items()))
        volumes = [found.size for found in sent if _is_of(part, found.key)]
        size = sum(found.size for found in sent)
        console.print(
            f"{len(sent)} objects of {size / 1e6:.1f} MB would leave, {len(volumes)} of them, {sum(volumes) / 1e6:.1f} "
            "MB, in volumes, which the receipt counts; nothing was sent"
        )


def _copy_part(store: Store, draft: Store, part: Part) -> None:
    place = {"site": part.site, "cohort": part.cohort}
    for kind in (keys.PART, keys.VERDICTS, keys.FACTS):
        key = kind.build(**place, digest=part.id)
        draft.put(key, store.get(key))
    draft.put(keys.CURRENT_PART.build(**place), store.get(keys.CURRENT_PART.build(**place)))


def _volumes(site: Slug) -> str:
    return keys.STUDY_VOLUME.prefix(site=site)


def _is_of(part: Part, key: str) -> bool:
    return f"{key.partition('.zarr/')[0]}.zarr" in {entry.volume_key for entry in part.studies}
