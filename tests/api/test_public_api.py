"""The public API is exactly what lesionlab.api lists: documented, typed, and kept by the next release."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from pydantic import BaseModel

from lesionlab import api, errors
from storage_schemas.export import EXPORTED
from tests.api.make_promises import FILE, promises

ROOT = Path(__file__).parents[2]
FUNCTIONS = [name for name in api.__all__ if isinstance(getattr(api, name), FunctionType)]
CLASSES = [name for name in api.__all__ if isinstance(getattr(api, name), type)]


def methods_of(kind: type) -> dict[str, Any]:
    """The public functions and properties that the class itself defines."""
    found = {}
    for name, value in vars(kind).items():
        function = getattr(value, "__func__", getattr(value, "fget", value))
        if not name.startswith("_") and isinstance(function, FunctionType) and function.__module__ == kind.__module__:
            found[f"{kind.__name__}.{name}"] = function
    return found


CALLABLES = {name: getattr(api, name) for name in FUNCTIONS} | {
    name: function for kind in CLASSES for name, function in methods_of(getattr(api, kind)).items()
}


def test_python_and_type_checkers_find_the_same_names_in_the_same_modules() -> None:
    tree = ast.parse(Path(api.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)]
    typed = {
        (node.module, alias.asname)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == alias.asname
    }
    assert typed == {(module, name) for module, names in api._HOMES.items() for name in names}
    assert sorted(name for _, name in typed) == api.__all__ == dir(api)


def test_every_name_comes_from_the_module_that_defines_it() -> None:
    assert {name: getattr(api, name).__module__ for name in api.__all__} == api._HOME


def test_every_public_name_is_a_function_or_a_class() -> None:
    assert sorted([*FUNCTIONS, *CLASSES]) == api.__all__


def test_any_other_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no name 'run_cell'; its names are"):
        _ = api.run_cell


def test_every_stored_document_and_every_error_is_public() -> None:
    assert {kind.__name__ for kind in EXPORTED} <= set(api.__all__)
    tree = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert tree <= set(api.__all__)


@pytest.mark.parametrize("name", [*CLASSES, *CALLABLES])
def test_it_has_a_docstring_of_its_own(name: str) -> None:
    documented = CALLABLES.get(name) or getattr(api, name)
    assert (documented.__dict__.get("__doc__") if isinstance(documented, type) else documented.__doc__) is not None


@pytest.mark.parametrize("name", CALLABLES)
def test_every_parameter_and_result_is_annotated(name: str) -> None:
    signature = inspect.signature(CALLABLES[name])
    bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name not in ("self", "cls")]
    assert bare == []
    assert signature.return_annotation is not signature.empty


@pytest.mark.parametrize("name", [name for name in CLASSES if issubclass(getattr(api, name), BaseModel)])
def test_every_field_of_a_document_is_annotated(name: str) -> None:
    assert all(field.annotation is not None for field in getattr(api, name).model_fields.values())


def test_every_package_that_is_shipped_says_that_it_is_typed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert [package for package in packages if not (ROOT / package / "py.typed").is_file()] == []


def imported_by(code: str) -> set[str]:
    """Which of the heavy libraries a fresh process has imported after this code."""
    heavy = "{'antspyx', 'ants', 'matplotlib', 'pandas', 'ray', 'scipy', 'statsmodels', 'torch', 'zarr'}"
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*({heavy} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(told.stdout.split())


def test_importing_it_imports_no_library() -> None:
    assert imported_by("import lesionlab.api") == set()


def test_planning_and_reading_rows_wait_for_neither_torch_nor_ray() -> None:
    code = "from lesionlab.api import open_store, plan_experiment, read_spec, score, study_rows, write_report"
    assert imported_by(code) & {"torch", "ray"} == set()


def test_executing_in_this_process_waits_for_no_ray() -> None:
    assert imported_by("from lesionlab.api import execute, predict_native, registered_network") & {"ray"} == set()


def test_the_promises_of_the_last_release_are_kept() -> None:
    """Equal means: nothing was removed or renamed, and what was added is written down."""
    assert promises() == FILE.read_text(encoding="utf-8"), (
        "the public API changed. Names, parameters and fields may be added, with a default; they are never removed or "
        "renamed (docs/compatibility.md). If so: python -m tests.api.make_promises"
    )


def test_the_reference_page_shows_every_name() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    shown = [line.rpartition(".")[2] for line in pages.splitlines() if line.startswith(".. auto")]
    assert sorted(shown) == api.__all__
