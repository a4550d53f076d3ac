"""CITATION.cff is in the format's required form and says what pyproject.toml says."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


def citation() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return content


def test_it_has_what_cff_1_2_0_requires() -> None:
    found = citation()
    assert found["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= found.keys()
    assert all("name" in author or "family-names" in author for author in found["authors"])
    assert all({"type", "title", "authors"} <= reference.keys() for reference in found["references"])


def test_title_version_and_license_are_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = citation()
    assert (found["title"], found["version"], found["license"]) == (
        project["name"],
        project["version"],
        project["license"],
    )


def test_it_refers_to_the_study_whose_method_this_is() -> None:
    assert [reference["doi"] for reference in citation()["references"]] == ["10.3389/fnins.2023.1188336"]
