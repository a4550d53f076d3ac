"""The manual is true of the code: the files, names, commands, tests and lines that its pages name are there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import PANEL_OF

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("recipes/*.md"), *DOCS.glob("reference/*.md")])
FOLDERS = {"platform", "storage_schemas", "jobs", "tests", "docs", "infra", "k8s"}

FENCE = re.compile(r"^( *)```.*?\n(.*?)^\1```$", flags=re.DOTALL | re.MULTILINE)


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def inline_code(page: Path) -> list[str]:
    """What stands between backticks in the running text."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text(encoding="utf-8")))


def blocks(page: Path, language: str) -> list[str]:
    """The page's blocks in a language, without the indentation that they have in a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def resolved(dotted: str) -> Any:
    """The module, or the name in a module. Raises ImportError or AttributeError."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for name in parts[count:]:
            value = getattr(value, name)
        return value
    raise ImportError(dotted)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_are_there(page: Path) -> None:
    named = {code for code in inline_code(page) if code.split("/")[0] in FOLDERS and "/" in code}
    assert [path for path in sorted(named) if not any(ROOT.glob(path.rstrip("/")))] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_modules_and_names_are_there(page: Path) -> None:
    for code in inline_code(page):
        if re.fullmatch(r"(lesionlab|storage_schemas|jobs)(\.\w+)+", code):
            resolved(code)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_targets_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    commands = re.findall(r"(?:`|^ *)lesionlab ([a-z]+(?:-[a-z]+)*)", text, flags=re.MULTILINE)
    assert set(commands) <= set(PANEL_OF)
    targets = re.findall(r"`make ([a-z-]+)", text)
    assert set(targets) <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for module in re.findall(r"`python -m ([\w.]+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "diff")], ids=name_of)
def test_lines_that_a_recipe_changes_are_in_the_files_that_it_names(page: Path) -> None:
    files = [ROOT / code for code in inline_code(page) if code.endswith(".py") and (ROOT / code).is_file()]
    files += [file for code in inline_code(page) for file in (ROOT / code).glob("*.py") if code.endswith("/")]
    lines = {line for file in files for line in file.read_text(encoding="utf-8").splitlines()}
    for block in blocks(page, "diff"):
        kept = [line[1:] for line in block.splitlines() if not line.startswith("+") and line.strip()]
        assert [line for line in kept if line not in lines] == []


def test_code_that_is_quoted_as_it_stands_is_in_the_files_that_the_page_names() -> None:
    for page in (DOCS / "recipes" / "axis.md", DOCS / "identity.md"):
        files = [ROOT / code for code in inline_code(page) if code.endswith(".py") and (ROOT / code).is_file()]
        lines = {line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines()}
        quoted = [line.strip() for block in blocks(page, "python") for line in block.splitlines()]
        assert [line for line in quoted if line not in lines] == []


def test_the_index_leads_to_every_page() -> None:
    listed = set(re.findall(r"^[\w/-]+$", (DOCS / "index.md").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {name_of(page).removesuffix(".md") for page in PAGES} - {"index"} <= listed
