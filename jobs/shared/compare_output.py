"""Print a comparison of models from elsewhere, or what it would read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from rich.table import Table as ScreenTable

from jobs.shared.console import console, show_table
from jobs.shared.definitions import described
from jobs.shared.predicted_masks import FoundMasks, ModelFolder
from lesionlab.analysis.sheets.records import effect_row
from lesionlab.analysis.statistics.compute import Statistics
from lesionlab.analysis.statistics.external import Table
from lesionlab.analysis.words.answer import answer_text
from storage_schemas.base import as_columns
from storage_schemas.manifests import ManifestEntry


def show_dry_run(masks: Mapping[ModelFolder, FoundMasks], studies: Sequence[ManifestEntry], *, named: bool) -> None:
    """Print the file of every study and model; not `named`, only how many each model has."""
    if named:
        table = ScreenTable()
        for column in ("study", *(model.name for model in masks)):
            table.add_column(column)
        for entry in studies:
            files = ((model.folder, found.files.get(entry.study)) for model, found in masks.items())
            names = (file.relative_to(folder).as_posix() if file else "missing" for folder, file in files)
            table.add_row(entry.study, *names)
        show_table(table)
    for model, found in masks.items():
        console.print(f"{model.name}: {len(found.files)} of {len(studies)} studies have a mask in {model.folder}")


def dry_run_json(masks: Mapping[ModelFolder, FoundMasks]) -> str:
    """The same as JSON: files by study, and the studies without one, by model."""
    return json.dumps(
        {
            model.name: {
                "files": {study: str(file) for study, file in found.files.items()},
                "missing": list(found.missing),
            }
            for model, found in masks.items()
        },
        indent=2,
    )


def as_json(table: Table, found: Statistics) -> str:
    """Definition, rows, comparisons and answer."""
    assert table.scored is not None
    definition = table.scored.definition
    return json.dumps(
        {
            "cohort": table.scored.cohort,
            "definition": {"label": definition.label(), "rules": described(definition)},
            "counted_as_nothing_found": [{"model": model, "study": study} for model, study in table.scored.empty],
            "rows": [{name: as_columns(row)[name] for name in table.columns} for row in table.rows],
            "comparisons": [effect_row(effect).model_dump(mode="json") for effect in found.effects],
            "answer": answer_text(found.answer).text().splitlines(),
        },
        indent=2,
    )
