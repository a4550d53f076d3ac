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
    return faults_by(_schema(folder / f"{document['kind'].lower()}_{group}_{version}.json"), document)


def faults_by(schema: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """The same, by a schema that is strict already."""
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


def strict(schema: Any) -> Any:
    """A CRD's schema as an API server with strict field validation reads it.

    Unknown fields are errors, and what has a default is not required: defaults are filled before anything is checked.
    """
    if not isinstance(schema, dict):
        return schema
    found = {key: value for key, value in schema.items() if key not in ("properties", "items", "required")}
    parts = {name: strict(part) for name, part in schema.get("properties", {}).items()}
    if parts:
        found["properties"] = parts
    if parts and not schema.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in schema:
        found["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        found["additionalProperties"] = strict(schema["additionalProperties"])
    if "items" in schema:
        found["items"] = strict(schema["items"])
    required = [name for name in schema.get("required", []) if "default" not in schema["properties"].get(name, {})]
    return found | ({"required": required} if required else {})


@functools.cache
def _schema(path: Path) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(path.read_text())
    return schema


@functools.cache
def _program(rule: str) -> celpy.Runner:
    environment = celpy.Environment()
    return environment.program(environment.compile(rule))
