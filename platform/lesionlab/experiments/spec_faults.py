"""Turn pydantic's validation errors into messages that the author of a YAML file can act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_WANTED = {
    "model_type": "keys with values",
    "dict_type": "keys with values",
    "tuple_type": "a list, as in [1, 2]",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "literal_error": "one of {expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "too_short": "{min_length} or more of them",
    "string_pattern_mismatch": "a name of lower-case letters, digits, '.', '_' and '-' (write the site "
    "`North Site` as north-site)",
}
"""By pydantic's error type; braces are filled from the error's context."""

_WANTED_BY_PATTERN = {
    "^s3://": "s3://bucket/prefix, without a slash at its end",
    "^[^@": "an e-mail address",
    r"^\d{4}-": "a day, YYYY-MM-DD",
}
"""Of what is no name, by how its pattern begins."""

_FOLLOWING = {"too_short", "default_factory_not_called"}
"""Errors that pydantic adds for a list or key whose parts already have a reported fault."""


def validation_faults(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Every fault in a document that should be a `model`, each with its place, without duplicates."""
    return list(dict.fromkeys(text for fault in error.errors() for text in _in_words(fault, model)))


def unknown_keys(error: ValidationError) -> list[tuple[str | int, ...]]:
    """The places of keys that the model does not have."""
    return [fault["loc"] for fault in error.errors() if fault["type"] == "extra_forbidden"]


def _in_words(fault: ErrorDetails, model: type[BaseModel]) -> Iterator[str]:
    place = ".".join(map(str, fault["loc"]))
    at = f"{place}: " if place else ""
    if fault["type"] == "value_error":  # our own message, one fault per line
        yield from (at + line for line in str(fault["ctx"]["error"]).splitlines())
    elif fault["type"] in _FOLLOWING and fault["input"]:
        return
    elif fault["type"] == "missing":
        yield f"{at}missing"
    elif fault["type"] == "extra_forbidden":
        name, known = str(fault["loc"][-1]), _known_at(model, fault["loc"][:-1])
        meant = get_close_matches(name, known, n=1, cutoff=0.7)
        yield f"{at}unknown key; " + (f"did you mean {meant[0]}?" if meant else f"known keys: {', '.join(known)}")
    elif fault["type"] in _WANTED:
        bounds = {
            name: f"{value:g}" if isinstance(value, float) else value for name, value in fault.get("ctx", {}).items()
        }
        pattern = str(fault.get("ctx", {}).get("pattern", ""))
        own = next((text for start, text in _WANTED_BY_PATTERN.items() if pattern.startswith(start)), None)
        yield f"{at}wanted {own or _WANTED[fault['type']].format(**bounds)}; found {_shown(fault['input'])}"
    else:
        yield at + fault["msg"]


def _shown(found: Any) -> str:
    if found is None:
        return "nothing"
    return f"keys ({', '.join(map(str, found))})" if isinstance(found, Mapping) else repr(found)


def _known_at(model: type[BaseModel], place: tuple[str | int, ...]) -> list[str]:
    """The keys of the model at this place of a document; list indices and mapping keys are passed through."""
    for part in place:
        if part in model.model_fields:
            model = next(_models(model.model_fields[str(part)].annotation), model)
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
