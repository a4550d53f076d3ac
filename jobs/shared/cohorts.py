"""Find or simulate the datasets of an experiment's cohorts, and preprocess them into the store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from jobs.shared.console import notes
from jobs.shared.dataset_screening import AS_IT_IS, Screening, open_screened, study_map
from jobs.shared.options import connect_to_read
from jobs.shared.progress import steps
from lesionlab.errors import DatasetError, SpecError
from lesionlab.experiments.manifests import current_manifest, declared_cohort, has_cohort
from lesionlab.experiments.parts import Second, leave_cohort
from lesionlab.experiments.planning import check_fits
from lesionlab.experiments.randomisation import too_few
from lesionlab.imaging.deepbet import require_deepbet
from lesionlab.preprocessing.cohort import Ingested, fault_lines, preprocess_cohort
from lesionlab.preprocessing.costs import study_cost
from lesionlab.preprocessing.files import Dataset, StudyFiles
from lesionlab.preprocessing.ingest import Recipe
from lesionlab.simulation.cohort import simulate_cohort
from lesionlab.store.objects import Store
from storage_schemas.base import Slug
from storage_schemas.cohorts import CohortPlan
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.manifests import ManifestEntry


def cohort_origins(
    spec: ExperimentSpec, bids: Sequence[str], wanted: Collection[Slug] | None = None
) -> dict[Slug, Path | CohortPlan]:
    """Where each wanted cohort (None: all) comes from: its `NAME=PATH` option, otherwise its simulation.

    Raises SpecError with all faults: an option names no cohort or no dataset, or a wanted cohort has neither.
    """
    faults: list[str] = []
    names = spec.cohorts if wanted is None else wanted
    origins: dict[Slug, Path | CohortPlan] = {
        name: plan for name in names if (plan := spec.cohorts[name].simulate) is not None
    }
    for option in bids:
        name, _, path = option.partition("=")
        if name not in spec.cohorts:
            faults.append(f"--bids {option}: wanted NAME=PATH with NAME one of {', '.join(spec.cohorts)}")
        elif not Path(path).exists():
            faults.append(f"--bids {option}: no such folder: {path!r}")
        origins[name] = Path(path)
    faults += [
        f"cohort {name}: experiment {spec.name} needs a dataset; give --bids {name}=PATH, or preprocess it before"
        for name in names
        if name not in origins
    ]
    if faults:
        raise SpecError(*faults)
    return origins


def not_in_store(spec: ExperimentSpec, bids: Sequence[str], uri: str) -> list[Slug]:
    """The cohorts of an experiment but those that the store holds: preprocessed before, without dataset or simulation.

    Raises SpecError with all faults if such a cohort was preprocessed for another task or spacing.
    """
    given = {option.partition("=")[0] for option in bids}
    asked = [name for name, cohort in spec.cohorts.items() if name not in given and cohort.simulate is None]
    if not asked:
        return list(spec.cohorts)
    store = connect_to_read(uri)
    stored = [name for name in asked if has_cohort(store, name)]
    faults: list[str] = []
    for name in stored:
        manifest = current_manifest(store, name)
        try:
            check_fits(spec, spec.task_of(name), manifest)
        except SpecError as error:
            faults += (f"{fault}, or give --bids {name}=PATH" for fault in error.args)
        notes.print(f"cohort {name}: {len(manifest.studies)} studies, preprocessed before")
    if faults:
        raise SpecError(*faults)
    return [name for name in spec.cohorts if name not in stored]


def dataset_of(cohort: Slug, origin: Path | CohortPlan, work: Path) -> Path:
    """The dataset of a cohort: the given one, or a simulated one in `work`, simulated once per plan."""
    if isinstance(origin, Path):
        return origin
    out = work / "bids" / f"{cohort}-{origin.digest()}"
    if not out.exists():
        with steps(f"simulating {cohort}") as step:
            simulate_cohort(origin, out, step)
    return out


def second_of(origin: Path | CohortPlan, given: Second = "refuse") -> Second:
    """What a dataset does to its cohort in the store: a simulated one is the cohort, whatever was simulated before."""
    return given if isinstance(origin, Path) else "replace"


def preprocess_dataset(
    store: Store,
    dataset: Dataset,
    recipe: Recipe,
    cohort: Slug,
    *,
    exclude_faulty: bool,
    plain: bool,
    workers: int | None = None,
    second: Second = "refuse",
) -> Ingested:
    """Preprocess a dataset into the store; show progress and exclusions on standard error.

    If it replaces the cohort, other sites leave it too. Raises SpecError if the cohort is declared for several sites.
    """
    if declared_cohort(store, cohort):
        raise SpecError(
            f"cohort {cohort}: declared for several sites; each of them contributes to it: lesionlab contribute "
            f"DATASET --cohort {cohort} --site SITE"
        )
    cost = study_cost(recipe.task, recipe.spacing_mm, recipe.stripper)
    with steps(f"preprocessing {cohort}") as step:
        ingested = preprocess_cohort(
            store,
            dataset,
            recipe,
            cohort=cohort,
            exclude_faulty=exclude_faulty,
            second=second,
            each=study_map(dataset, cost, workers, step, plain=plain),
            progress=step,
        )
    if second == "replace":
        for left in leave_cohort(store, cohort, but={part.site for part in ingested.parts}):
            notes.print(f"cohort {cohort}: site {left.site} left it, with {len(left.studies)} studies", style="yellow")
    given = {part.site for part in ingested.parts}
    if others := [entry for entry in current_manifest(store, cohort).studies if entry.site not in given]:
        sites = ", ".join(sorted({entry.site for entry in others}))
        notes.print(
            f"cohort {cohort}: it also has {len(others)} studies of {sites} from before; to leave them out: --replace",
            style="yellow",
        )
    for exclusion in ingested.manifest.excluded:
        notes.print(f"excluded {exclusion.study}: {'; '.join(exclusion.faults)}", style="yellow")
    return ingested


def open_for(spec: ExperimentSpec, cohort: Slug, path: Path, screening: Screening = AS_IT_IS) -> tuple[Dataset, Recipe]:
    """A dataset of an experiment's cohort, and how it is preprocessed: for the experiment's task and spacing."""
    strip = spec.cohorts[cohort].strip
    if strip == "deepbet":
        require_deepbet()
    recipe = Recipe(spec.task_of(cohort), spec.spacing_mm, screening.scrub, strip=strip)
    dataset = open_screened(
        path, recipe, screening.site, hash_ids=screening.hash_ids, absolute_paths=screening.absolute_paths
    )
    return dataset, recipe


def refuse_too_few(spec: ExperimentSpec, store: Store, dataset: Dataset | None, second: Second) -> None:
    """Refuse an experiment before anything is preprocessed if its target lacks studies even if each of them passes.

    `dataset`: that of the target cohort; None: all of it is in the store. Raises DatasetError with every fault.
    """
    target, cohort = spec.target, spec.target.cohort
    found: dict[tuple[str, str], ManifestEntry | StudyFiles] = {}
    if (dataset is None or second != "replace") and has_cohort(store, cohort):
        found = {(entry.site, entry.study): entry for entry in current_manifest(store, cohort).studies}
    if dataset is not None:
        found |= {(files.site, files.study): files for files in dataset.studies}
    if faults := too_few(found.values(), target):
        raise DatasetError(
            *(fault_lines(dataset.faulty) if dataset else ()), *(f"cohort {cohort}: {fault}" for fault in faults)
        )


def preprocess_sources(
    spec: ExperimentSpec, store: Store, work: Path, bids: Sequence[str], *, exclude_faulty: bool, plain: bool
) -> None:
    """Preprocess the source cohorts given in `bids`, and simulate those that the store lacks if the spec says how."""
    cohorts = dict.fromkeys(source.cohort for source in spec.sources if source.cohort)
    lacking = [name for name in cohorts if not has_cohort(store, name)]
    for name, origin in cohort_origins(spec, bids, lacking).items():
        dataset, recipe = open_for(spec, name, dataset_of(name, origin, work))
        preprocess_dataset(
            store, dataset, recipe, name, exclude_faulty=exclude_faulty, plain=plain, second=second_of(origin)
        )
