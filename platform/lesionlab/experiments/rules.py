"""Declare promotion rules, and find the one that holds for a model."""

from __future__ import annotations

from pathlib import Path

from lesionlab.errors import InputError
from lesionlab.experiments.benchmarks import find_benchmark
from lesionlab.experiments.spec_files import read_yaml, validated
from lesionlab.store.documents import create_named, read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Slug
from storage_schemas.rules import Rule


def read_rule(store: Store, path: Path) -> Rule:
    """Read a rule file (YAML), in which `benchmark` is a name or a digest.

    Raises SpecError with every fault in it, InputError if there is no such benchmark.
    """
    what = f"rule file {path}"
    content = read_yaml(path, what)
    if isinstance(content, dict):
        content.pop("id", None)
        if isinstance(content.get("benchmark"), str):
            content["benchmark"] = find_benchmark(store, content["benchmark"]).benchmark.id
    draft = validated({"id": "0" * 16} | content if isinstance(content, dict) else content, Rule, what)
    return draft.changed()


def declare(store: Store, rule: Rule) -> bool:
    """Store a rule under its digest: True if it is new. It holds from now on, and never changes."""
    return create_named(store, keys.RULE.build(name=rule.model, digest=rule.id), rule)


def rules_of(store: Store, model: Slug) -> list[Rule]:
    """The rules that were declared for a model, sorted by digest."""
    found = [key for key in store.list(keys.RULE.prefix(name=model)) if keys.RULE.parse(key)]
    return [read_document(store, key, Rule) for key in found]


def find_rule(store: Store, rule: str) -> Rule:
    """The rule of `model@digest`, or of a model that has only one. Raises InputError that lists its rules."""
    model, _, digest = rule.partition("@")
    known = rules_of(store, model)
    found = [own for own in known if not digest or own.id == digest]
    if len(found) != 1:
        names = ", ".join(f"{own.model}@{own.id}" for own in known) or "none yet; lesionlab rule declare FILE adds one"
        raise InputError(f"rule {rule!r}: wanted one in {store.uri}, found {len(found)}; there are: {names}")
    return found[0]
