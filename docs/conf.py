"""Sphinx's configuration: `make docs` builds the manual into docs/_build/, and a warning fails the build."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lesionlab import api

_PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = _PROJECT["name"]
release = _PROJECT["version"]
author = "The lesionlab authors"
html_title = f"{project} {release}"
html_theme = "furo"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

default_role = "code"  # docstrings mark code with single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {name: name for name in ("Digest", "Each", "Mask", "OnChange", "Sha256", "Slug", "StudyId")}
python_maximum_signature_line_length = 100
autodoc_preserve_defaults = True
autodoc_default_options = {
    "members": True,
    "undoc-members": True,
    "inherited-members": "BaseModel, Document, Named, OneText",
    "exclude-members": "model_config",
}


def _without_pydantic_signature(
    app: Any, what: str, name: str, value: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None] | None:
    """A document is made of its fields, which stand below it with their docstrings."""
    return ("", None) if isinstance(value, type) and issubclass(value, BaseModel) else None


def _with_default(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """pydantic keeps the defaults of fields out of the class, where autodoc looks for them."""
    kind = getattr(api, name.split(".")[-2], None) if what == "attribute" else None
    field = getattr(kind, "model_fields", {}).get(name.split(".")[-1])
    if field is not None and not field.is_required() and field.default_factory is None:
        default = (
            field.default.model_dump(exclude_unset=True) if isinstance(field.default, BaseModel) else field.default
        )
        lines += ["", f"Default: `{default!r}`."]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _without_pydantic_signature)
    app.connect("autodoc-process-docstring", _with_default)
