"""Read an experiment file (YAML) into an ExperimentSpec, or report every fault in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from lesionlab.atomic import read_whole
from lesionlab.errors import SpecError
from lesionlab.experiments.spec_faults import unknown_keys, validation_faults
from lesionlab.experiments.strict_yaml import Refused, plain_values
from storage_schemas import definitions, tasks
from storage_schemas.base import Document
from storage_schemas.experiments import ExperimentSpec

D = TypeVar("D", bound=Document)


def read_spec(path: Path) -> ExperimentSpec:
    """Read an experiment file. Raises SpecError with every fault in it, each with its place.

    Contradictions between parts are reported only if each part is valid on its own.
    """
    spec, faults = _checked(read_yaml(path, f"experiment file {path}"))
    if spec is None:
        raise SpecError(*(f"experiment file {path}: {fault}" for fault in dict.fromkeys(faults)))
    if faults := list(_taken_names(spec)):
        raise SpecError(*(f"experiment file {path}: {fault}; use another name" for fault in faults))
    return spec


def _taken_names(spec: ExperimentSpec) -> Iterator[str]:
    if definitions.takes_a_known_name(spec.metric):
        yield f"metric: {spec.metric.name} is the name of a built-in definition"
    own = [("task", spec.task), *((f"source {source.model}: task", source.task) for source in spec.sources)]
    for place, task in own:
        if task is not None and tasks.takes_a_known_name(task):
            yield f"{place}: {task.name} is the name of a built-in task"


def validated(content: Any, model: type[D], what: str) -> D:
    """Validate the content of a YAML file. Raises SpecError with every fault in it."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise SpecError(*(f"{what}: {fault}" for fault in validation_faults(error, model))) from error


def _checked(content: Any) -> tuple[ExperimentSpec | None, list[str]]:
    """The experiment, or every fault. Unknown keys would hide other faults, so the rest is checked without them."""
    try:
        return ExperimentSpec.model_validate(content), []
    except ValidationError as error:
        faults = validation_faults(error, ExperimentSpec)
        if any([_removed(content, place) for place in unknown_keys(error)]):
            faults += _checked(content)[1]
        return None, faults


def _removed(content: Any, place: tuple[str | int, ...]) -> bool:
    for part in place[:-1]:
        content = content[part]
    return content.pop(place[-1], None) is not None  # may already be removed through a YAML alias


def read_yaml(path: Path, what: str) -> Any:
    """Plain values of a YAML file. Raises SpecError if it cannot be read, or with every value that is ambiguous."""
    try:
        return plain_values(read_whole(path))
    except OSError as error:
        raise SpecError(f"{what}: cannot be read ({error.strerror}); give a path to a YAML file") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{what}: not valid YAML: {error}") from error
    except Refused as error:
        raise SpecError(*(f"{what}: {fault}" for fault in error.args)) from error
