"""Load a metric definition by name or from a YAML file; describe definitions in words."""

from __future__ import annotations

import re
from pathlib import Path

import typer
from rich.table import Table

from jobs.shared.console import show_table
from lesionlab.errors import SpecError
from lesionlab.experiments.spec_files import read_yaml, validated
from storage_schemas.definitions import DEFINITIONS, MetricDefinition, definition_named, takes_a_known_name


def load_definition(name: str) -> MetricDefinition:
    """Load a definition by name, by `name@digest` or from a YAML file; without a name it is named after the file.

    Raises SpecError with every fault.
    """
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        try:
            return definition_named(name)
        except ValueError as error:
            raise SpecError(f"definition: {error}; or give a YAML file") from error
    content = read_yaml(path, f"definition {path}")
    if isinstance(content, dict):
        content = {"name": re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("._-")[:63]} | content
    written = validated(content, MetricDefinition, f"definition {path}")
    if takes_a_known_name(written):
        raise SpecError(f"definition {path}: {written.name} is the name of a built-in definition; use another name")
    return written


def described(definition: MetricDefinition) -> str:
    """Name, version and rules: `definition paper (version 58d0…): 26-connectivity; any shared voxel`."""
    return f"definition {definition.name} (version {definition.version()}): {in_words(definition)}"


def in_words(definition: MetricDefinition) -> str:
    """What counts as a lesion and as a hit: `6-connectivity, over 3 mm³; …`."""
    return f"{definition.lesion_in_words()}; {definition.hit_in_words()}"


def show_definitions(asked: bool) -> None:
    """Callback of `--definitions`: print the built-in definitions and exit."""
    if not asked:
        return
    table = Table(title="definitions", title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("lesion; hit")
    for definition in DEFINITIONS.values():
        table.add_row(definition.name, in_words(definition))
    show_table(table)
    raise typer.Exit()
