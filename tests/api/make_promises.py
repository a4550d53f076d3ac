"""Write down what the public API promises: `python -m tests.api.make_promises` rewrites promises.txt."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import FunctionType

from pydantic import BaseModel

from lesionlab import api

FILE = Path(__file__).with_name("promises.txt")


def promises() -> str:
    """One line a function with its parameters, one a class with its fields; `=` marks what has a default."""
    return "".join(f"{name}{_form(getattr(api, name))}\n" for name in api.__all__)


def _form(value: object) -> str:
    if isinstance(value, FunctionType):
        return f"({', '.join(_parameters(value))})"
    if isinstance(value, type) and issubclass(value, BaseModel):
        names = [name + "=" * (not field.is_required()) for name, field in value.model_fields.items()]
    elif is_dataclass(value):
        names = [field.name for field in fields(value)]
    elif isinstance(value, type) and not issubclass(value, Exception):
        names = [name for name, method in vars(value).items() if isinstance(method, FunctionType) and name[0] != "_"]
    else:
        return ""
    return f": {', '.join(sorted(names))}"


def _parameters(function: FunctionType) -> list[str]:
    shown, keyword_only = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            shown.append("*")
        shown.append(parameter.name + "=" * (parameter.default is not parameter.empty))
    return shown


if __name__ == "__main__":
    FILE.write_text(promises(), encoding="utf-8")
