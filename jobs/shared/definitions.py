"""A name or a YAML file in; the MetricDefinition that it means out. And the known ones, in words."""

from __future__ import annotations

import re
from pathlib import Path

import typer
from rich.table import Table

from jobs.shared.command_line import console
from lesionlab.errors import SpecError
from lesionlab.experiments.spec_files import read_yaml, validated
from storage_schemas.definitions import DEFINITIONS, MetricDefinition, definition_named, takes_a_known_name


def load_definition(name: str) -> MetricDefinition:
    """By name, by `name@digest`, or from a YAML file, whose name it takes where it has none itself.

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
        raise SpecError(
            f"definition {path}: {written.name} is the name of another definition; give it a name of its own"
        )
    return written


def told(definition: MetricDefinition) -> str:
    """`definition paper (version 58d0…): 26-neighbourhood; any shared voxel`."""
    return f"definition {definition.name} (version {definition.version()}): {in_words(definition)}"


def in_words(definition: MetricDefinition) -> str:
    """`6-neighbourhood, over 3 mm³; …`: what counts as a lesion, and what as a hit."""
    return f"{definition.lesion_in_words()}; {definition.hit_in_words()}"


def show_definitions(asked: bool) -> None:
    """Callback of `--definitions`: print the named ones and stop."""
    if not asked:
        return
    table = Table(title="definitions", title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("lesion; hit")
    for definition in DEFINITIONS.values():
        table.add_row(definition.name, in_words(definition))
    console.print(table)
    raise typer.Exit()
