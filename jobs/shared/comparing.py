"""Score anybody's masks on a cohort by one definition, and put them beside an experiment's arms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import numpy as np

from jobs.shared.definitions import load_definition
from jobs.shared.mask_files import on_one_grid
from jobs.shared.predicted_masks import FoundMasks, ModelFolder, find_masks
from jobs.shared.progress import steps
from lesionlab.analysis.experiment_analysis import is_simulated, options_of
from lesionlab.analysis.sheets.records import csv_text
from lesionlab.analysis.statistics.chosen_rates import as_planned, at_chosen_rates, choose_rates
from lesionlab.analysis.statistics.comparisons import Unit
from lesionlab.analysis.statistics.conditions import condition_of
from lesionlab.analysis.statistics.external import OPTIONAL, REQUIRED, Scored, Table, TableRow
from lesionlab.analysis.statistics.rows import Row
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.errors import ImageError, InputError
from lesionlab.evaluation.lesionwise import Score, score
from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.publishing import study_rows
from lesionlab.experiments.site_policies import refuse_leaving, refuse_showing
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.imaging.volume import Mask, Volume, matrix_of, read_mask
from lesionlab.store.arrays import read_array
from lesionlab.store.documents import read_card
from lesionlab.store.objects import Store
from storage_schemas.audit import AuditedStudies
from storage_schemas.base import Slug, as_columns
from storage_schemas.definitions import MetricDefinition
from storage_schemas.manifests import ManifestEntry
from storage_schemas.metrics import METRICS
from storage_schemas.policies import Leaves
from storage_schemas.results import StudyRow
from storage_schemas.runs import Cell
from storage_schemas.volumes import ATTRIBUTE, StudyVolumeCard

Missing = Literal["refuse", "empty"]

INSTEAD = "--share consortium --out DIR shows aggregates alone"


@dataclass(frozen=True)
class Setting:
    """What masks are scored on and by, and the experiment whose arms they stand beside, if there is one."""

    cohort: str
    studies: tuple[ManifestEntry, ...]
    definition: MetricDefinition
    unit: Unit
    options: Options
    experiment: str | None = None
    rows: tuple[StudyRow, ...] = ()
    """Of the experiment's own arms."""
    cells: tuple[Cell, ...] = ()
    """Its planned cells."""
    simulated: bool = False
    trained_at: frozenset[Slug] = frozenset()
    """The sites whose studies the experiment's arms were trained on."""

    @property
    def sites(self) -> frozenset[Slug]:
        """The sites whose studies a number describes, or whose studies the networks that it describes learned from."""
        return self.trained_at | {entry.site for entry in self.studies}

    @property
    def audited(self) -> tuple[AuditedStudies, ...]:
        """Its studies by site."""
        counts = Counter(entry.site for entry in self.studies)
        return tuple(AuditedStudies(site=s, cohort=self.cohort, studies=n) for s, n in sorted(counts.items()))

    def planned(self, rows: Sequence[TableRow]) -> list[Cell | Row]:
        """The experiment's cells and the models from elsewhere."""
        return [*self.cells, *(row for row in rows if row.arm == "other")]


def of_cohort(store: Store, cohort: str, definition: str | None, shows: Leaves = "rows") -> Setting:
    """All studies of a cohort. Raises InputError if there is no such cohort, or if a site's policy does not let leave
    what is shown; SpecError for a faulty definition."""
    by = load_definition(definition or "paper")
    manifest = current_manifest(store, cohort)
    refuse_leaving(store, "compare", manifest.task.name, manifest.studies, shows, INSTEAD)
    return Setting(cohort, manifest.studies, by, "per-study", Options(null_repetitions=0))


def of_experiment(store: Store, name: str, shows: Leaves = "rows") -> Setting:
    """The test studies of an experiment. Raises InputError if it has no results yet, or if a site's policy does not let
    leave what is shown."""
    plan = current_plan(store, name)
    refuse_showing(store, plan.runs, shows, INSTEAD)
    rows = study_rows(store, plan)
    if not rows:
        raise InputError(f"experiment {name}: no cell is finished; start with: lesionlab sweep EXPERIMENT")
    plan = at_chosen_rates(plan, choose_rates(plan, rows))
    rows = as_planned(rows, plan)
    tested = {entry.study: entry for run in plan.runs if run.cell for entry in run.test}
    trainings = {condition_of(run.cell): run.training for run in plan.runs if run.cell}
    return Setting(
        cohort=plan.spec.target.cohort,
        studies=tuple(tested[study] for study in sorted(tested)),
        definition=plan.spec.metric,
        unit=plan.spec.unit_of_analysis,
        options=options_of(plan, 0, trainings),
        experiment=name,
        rows=tuple(rows),
        cells=tuple(run.cell for run in plan.runs if run.cell),
        simulated=is_simulated(plan),
        trained_at=frozenset(entry.site for run in plan.runs for entry in run.train),
    )


def found_masks(models: Sequence[ModelFolder], studies: Sequence[ManifestEntry]) -> dict[ModelFolder, FoundMasks]:
    """The masks of every model. Raises InputError with the faults of all."""
    found, faults = dict[ModelFolder, FoundMasks](), list[str]()
    for model in models:
        try:
            found[model] = find_masks(model, studies)
        except InputError as error:
            faults += error.args
    if faults:
        raise InputError(*faults)
    return found


def missing_masks(masks: Mapping[ModelFolder, FoundMasks], *, named: bool = True) -> list[str]:
    """One sentence for each study without a mask; not `named`, one for each model with their number."""
    if not named:
        return [
            f"{model.name}: {len(found.missing)} studies have no mask in {model.folder}; add them, or count them as "
            "nothing found with --missing empty"
            for model, found in masks.items()
            if found.missing
        ]
    return [
        f"{model.name}: {study}: no mask in {model.folder}; add it, or count it as nothing found with --missing empty"
        for model, found in masks.items()
        for study in found.missing
    ]


def compared_table(store: Store, what: Setting, masks: Mapping[ModelFolder, FoundMasks]) -> Table:
    """Score every mask and put the rows of all arms together.

    Studies without a mask are scored as an empty mask. Raises InputError with every mask that cannot be read or lies on
    another grid.
    """
    places = {row.study: (row.fold, row.position) for row in what.rows}
    rows = [TableRow.model_validate(row.model_dump(include=set(TableRow.model_fields))) for row in what.rows]
    faults: list[str] = []
    with steps("scoring") as step:
        for number, entry in enumerate(what.studies):
            step(number, len(what.studies), entry.study)
            reference = _reference(store, entry)
            for model, found in masks.items():
                try:
                    mask_ijk = _mask(reference, found, entry.study)
                except (ImageError, InputError) as error:
                    faults += [f"{model.name}: {entry.study}: {fault}" for fault in error.args]
                    continue
                result = score(reference.voxels, mask_ijk, reference.affine, what.definition)
                rows.append(_row(model, entry, places.get(entry.study, (1, number + 1)), result))
        step(len(what.studies), len(what.studies), "done")
    if faults:
        raise InputError(*faults)
    return _table(what, masks, rows)


def _table(what: Setting, masks: Mapping[ModelFolder, FoundMasks], rows: Sequence[TableRow]) -> Table:
    names = ", ".join([*([what.experiment] if what.experiment else []), *(model.name for model in masks)])
    given = [name for name in (*REQUIRED, *OPTIONAL) if any(getattr(row, name) is not None for row in rows)]
    columns = tuple(dict.fromkeys((*REQUIRED, *given)))
    text = csv_text([{name: as_columns(row)[name] for name in columns} for row in rows])
    empty = tuple((model.name, study) for model, found in masks.items() for study in found.missing)
    scored = Scored(what.definition, what.cohort, empty)
    return Table(f"{names} on {what.cohort}", sha256(text.encode()).hexdigest(), columns, tuple(rows), scored)


def _reference(store: Store, entry: ManifestEntry) -> Volume:
    key = entry.volume_key
    card = read_card(store, key, ATTRIBUTE, StudyVolumeCard)
    return Volume(read_array(store, key, "native_label"), matrix_of(card.native_grid))


def _mask(reference: Volume, found: FoundMasks, study: str) -> Mask:
    file = found.files.get(study)
    if file is None:
        return np.zeros(reference.voxels.shape, dtype=np.uint8)
    mask_ijk: Mask = on_one_grid(reference, read_mask(file), file).voxels
    return mask_ijk


def _row(model: ModelFolder, entry: ManifestEntry, place: tuple[int, int], result: Score) -> TableRow:
    surface = result.surface
    measured = {
        "sensitivity": result.sensitivity,
        "ppv": result.ppv,
        "f1": result.f1,
        "dice": result.dice,
        "false_positives": result.false_positives,
        "assd_mm": None if surface is None else surface.average_mm,
        "hd95_mm": None if surface is None else surface.hausdorff95_mm,
    }
    assert measured.keys() == set(METRICS)
    own = {"study": entry.study, "patient": entry.patient, "site": entry.site, "fold": place[0], "position": place[1]}
    return TableRow.model_validate(own | measured | {"arm": "other", "source": model.name})
