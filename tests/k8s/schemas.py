"""Validate a custom resource as an API server does: the JSON Schema of its CRD, then the CEL rules in that schema."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celpy
import jsonschema
from celpy.adapter import json_to_cel

RULES = "x-kubernetes-validations"


def schema_faults_of(document: dict[str, Any], folder: Path) -> list[str]:
    """One sentence for each fault. The rules are asked only if the types are right, as the API server does."""
    group, version = document["apiVersion"].split("/")
    schema = _schema(folder / f"{document['kind'].lower()}_{group}_{version}.json")
    errors = jsonschema.Draft202012Validator(schema).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in errors] or list(rule_faults(document, schema))


def rule_faults(value: Any, schema: dict[str, Any], path: str = "$") -> Iterator[str]:
    """One sentence for each CEL rule that the value, or a part of it, breaks. Rules about changes are left out."""
    for rule in schema.get(RULES, []):
        if "oldSelf" not in rule["rule"] and not _program(rule["rule"]).evaluate({"self": json_to_cel(value)}):
            yield f"{path}: {rule.get('message', rule['rule'])}"
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name, part in value.items():
            inner = known.get(name, others)
            if isinstance(inner, dict):
                yield from rule_faults(part, inner, f"{path}.{name}")
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, part in enumerate(value):
            yield from rule_faults(part, schema["items"], f"{path}[{index}]")


@functools.cache
def _schema(path: Path) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(path.read_text())
    return schema


@functools.cache
def _program(rule: str) -> celpy.Runner:
    environment = celpy.Environment()
    return environment.program(environment.compile(rule))
