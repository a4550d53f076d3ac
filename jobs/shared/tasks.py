"""Load a task by name or from a YAML file."""

from __future__ import annotations

from pathlib import Path

from lesionlab.errors import SpecError
from lesionlab.experiments.spec_files import read_yaml, validated
from storage_schemas.tasks import Task, takes_a_known_name, task_named


def load_task(name: str) -> Task:
    """Load a task by name or from a YAML file. Raises SpecError with every fault."""
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        try:
            return task_named(name)
        except ValueError as error:
            raise SpecError(f"task: {error}; or give a YAML file that describes the task") from error
    written = validated(read_yaml(path, f"task {path}"), Task, f"task {path}")
    if takes_a_known_name(written):
        raise SpecError(f"task {path}: {written.name} is the name of a built-in task; use another name")
    return written
