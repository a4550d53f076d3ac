"""The facts of a cohort in; who was scanned, how and on what, as the paper's Tables 1 and 2, out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.command_line import StoreOption, connect, console, plain_name, run_alone
from jobs.shared.output_file import save_output
from jobs.shared.specs import load_spec
from lesionlab.analysis.sheets.cohort_tables import cohort_tables
from lesionlab.analysis.sheets.sheet import Sheet, as_markdown, files_of
from lesionlab.errors import InputError
from lesionlab.experiments.manifests import current_manifest
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.base import Slug
from storage_schemas.facts import StudyFacts
from storage_schemas.manifests import Manifest
from storage_schemas.splits import Split, split_name


def tables_of(store: Store, name: Slug, spec_name: str | None) -> dict[str, Sheet]:
    """Tables by file name: by site, and by the split of a study file where one is named.

    Raises InputError where nothing is known of the cohort, or the study is not planned on it as it is now.
    """
    manifest = current_manifest(store, name)
    key = keys.FACTS.build(cohort=name, digest=manifest.id)
    if not store.exists(key):
        raise InputError(f"cohort {name}: it was brought in before facts were kept; run lesionlab preprocess again")
    split = split_of(store, manifest, spec_name) if spec_name else None
    return cohort_tables(read_rows(store, [key], StudyFacts), f"Cohort {name}, {manifest.task.name}", split)


def split_of(store: Store, manifest: Manifest, spec_name: str) -> Split:
    """Who is in which subset of this study file. Raises InputError where it is on another cohort, or has none."""
    spec = load_spec(spec_name)
    if spec.target.cohort != manifest.cohort:
        raise InputError(
            f"study {spec.name}: it is on cohort {spec.target.cohort}, not on {manifest.cohort}; name that"
        )
    key = keys.SPLIT.build(cohort=manifest.cohort, digest=split_name(manifest.id, spec.target))
    if not store.exists(key):
        raise InputError(
            f"study {spec.name}: cohort {manifest.cohort}, as it is now, has no subsets yet; "
            f"lesionlab sweep {spec_name} draws them"
        )
    return read_document(store, key, Split)


def save_tables(tables: dict[str, Sheet], folder: Path) -> None:
    """Each table as .csv, .md and .html."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files_of(tables).items():
        save_output("--out", folder / name, text.encode())


def cohort(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", callback=plain_name, help="A cohort that was preprocessed, such as demo-ms."),
    ],
    store: StoreOption,
    spec: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Also by the subsets of this study file (or built-in study), once planned."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also save the tables here, as CSV, Markdown and HTML.")
    ] = None,
) -> None:
    """Say who is in a cohort: sex, age, field strength, sequence times, scanners; what is not known is counted.

    Example: lesionlab cohort demo-ms --out ./tables
    """
    tables = tables_of(connect(store), name, spec)
    for table in tables.values():
        console.print(as_markdown(table))
    if out:
        save_tables(tables, out)
        console.print(f"tables: {out}")


if __name__ == "__main__":
    run_alone(cohort)
