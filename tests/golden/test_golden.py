"""Each stage still gives the golden results of its version: a changed result needs a new version."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from storage_schemas.versions import CURRENT, ResultVersions
from tests.golden.make import FOLDER, golden_file, golden_results, sums
from tests.golden.runs import GOLDEN, bound_of


def test_every_stage_with_a_version_has_a_golden_run() -> None:
    assert set(GOLDEN) == set(ResultVersions.model_fields)


@pytest.mark.parametrize("stage", GOLDEN)
def test_each_stage_gives_the_golden_results_of_its_version(stage: str, tmp_path: Path) -> None:
    version = getattr(CURRENT, stage)
    file = golden_file(stage, version)
    assert file.exists(), f"{stage} {version} has no golden results yet: python -m tests.golden.make {stage}"
    wanted, found = golden_results(stage, version), GOLDEN[stage](tmp_path)
    changed = [name for name in sorted(wanted.keys() | found.keys()) if not same(stage, name, wanted, found)]
    assert not changed, (
        f"results of {stage} changed ({', '.join(changed)}), but its result version is still {version}. If intended: "
        f"raise {stage} in storage_schemas/versions.py, run `python -m tests.golden.make {stage}`, and say in "
        "CHANGELOG.md what changed and why. If not intended: undo the change."
    )


def same(stage: str, name: str, wanted: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> bool:
    """Whether the arrays are equal within the bound of this array, or exactly if it has none."""
    if name not in wanted or name not in found or wanted[name].shape != found[name].shape:
        return False
    if bound := bound_of(stage, name):
        return bool(
            np.allclose(wanted[name].astype(float), found[name].astype(float), rtol=0, atol=bound, equal_nan=True)
        )
    return bool(np.array_equal(wanted[name], found[name]))


@pytest.mark.parametrize("stage", GOLDEN)
def test_golden_runs_are_bitwise_repeatable_on_one_machine(stage: str, tmp_path: Path) -> None:
    first, second = GOLDEN[stage](tmp_path / "first"), GOLDEN[stage](tmp_path / "second")
    assert [name for name in first if first[name].tobytes() != second[name].tobytes()] == []


def test_golden_files_of_every_version_are_unchanged() -> None:
    files = {file.relative_to(FOLDER).as_posix(): file for file in FOLDER.rglob("*.npz")}
    written = {name: sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    assert written == sums(), "a golden file is written once, by tests.golden.make; restore it"
    for stage in GOLDEN:
        own = [file.stem.partition("-") for file in files.values() if file.parent.name == stage]
        versions = sorted(int(version) for version, _, addition in own if not addition)
        assert versions == list(range(1, getattr(CURRENT, stage) + 1))
