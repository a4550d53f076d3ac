"""Read an experiment file (YAML) into an ExperimentSpec, or report every fault in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from lesionlab.errors import SpecError
from lesionlab.experiments.spec_faults import unknown_keys, validation_faults
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
    """Plain values of a YAML file. Raises SpecError if it cannot be read or a key appears twice."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        content = loader.get_single_data()
    except OSError as error:
        raise SpecError(f"{what}: cannot be read ({error.strerror}); give a path to a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{what}: not valid YAML: {error}") from error
    if loader.repeated:
        raise SpecError(*(f"{what}: {fault}" for fault in loader.repeated))
    return content


class _Loader(yaml.SafeLoader):
    """Load plain YAML and record duplicate keys; PyYAML would silently keep the last value."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.value in lines:
                self.repeated.append(f"{key.value} appears twice, in lines {lines[key.value]} and {line}; keep one")
            lines[key.value] = line
        return super().construct_mapping(node, deep)
