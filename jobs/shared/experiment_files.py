"""Find and read an experiment file by built-in name or by path."""

from __future__ import annotations

from pathlib import Path

from lesionlab.errors import SpecError
from lesionlab.experiments.spec_files import read_spec
from storage_schemas.experiments import ExperimentSpec

SPECS = {file.stem: file for file in sorted((Path(__file__).parents[1] / "specs").rglob("*.yaml"))}
"""Built-in experiment files by name."""


def load_spec(name: str) -> ExperimentSpec:
    """Read an experiment file. Raises SpecError if there is no such file, or with every fault in it."""
    path = SPECS.get(name, Path(name))
    if not path.is_file() or path.suffix not in {".yaml", ".yml"}:
        found = "found no YAML file" if path.exists() else "not found"
        raise SpecError(f"experiment file {name}: {found}; give a path or a built-in name: {', '.join(SPECS)}")
    return read_spec(path)
