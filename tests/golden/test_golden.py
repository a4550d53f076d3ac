"""Each room that decides results still gives what its version gave: a result that moves needs a new version."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from storage_schemas.versions import CURRENT, ResultVersions
from tests.golden.make import FOLDER, golden_file, sums
from tests.golden.runs import GOLDEN, bound_of


def test_every_room_with_a_version_has_a_golden_run() -> None:
    assert set(GOLDEN) == set(ResultVersions.model_fields)


@pytest.mark.parametrize("room", GOLDEN)
def test_the_room_gives_the_results_of_its_version(room: str, tmp_path: Path) -> None:
    version = getattr(CURRENT, room)
    file = golden_file(room, version)
    assert file.exists(), f"{room} {version} has no golden results yet: python -m tests.golden.make {room}"
    wanted, found = dict(np.load(file)), GOLDEN[room](tmp_path)
    moved = [name for name in sorted(wanted.keys() | found.keys()) if not same(room, name, wanted, found)]
    assert not moved, (
        f"results of {room} moved ({', '.join(moved)}), and its result version is still {version}. If that is meant: "
        f"raise {room} in storage_schemas/versions.py, run `python -m tests.golden.make {room}`, and say in "
        "CHANGELOG.md what moved and why. If not: undo what moved them."
    )


def same(room: str, name: str, wanted: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> bool:
    """Within the bound of this array; exactly, where it has none."""
    if name not in wanted or name not in found or wanted[name].shape != found[name].shape:
        return False
    if bound := bound_of(room, name):
        return bool(
            np.allclose(wanted[name].astype(float), found[name].astype(float), rtol=0, atol=bound, equal_nan=True)
        )
    return bool(np.array_equal(wanted[name], found[name]))


@pytest.mark.parametrize("room", GOLDEN)
def test_a_golden_run_is_the_same_bit_for_bit_on_one_machine(room: str, tmp_path: Path) -> None:
    first, second = GOLDEN[room](tmp_path / "first"), GOLDEN[room](tmp_path / "second")
    assert [name for name in first if first[name].tobytes() != second[name].tobytes()] == []


def test_golden_files_of_every_version_are_as_they_were_written() -> None:
    files = {file.relative_to(FOLDER).as_posix(): file for file in FOLDER.rglob("*.npz")}
    written = {name: sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    assert written == sums(), "a golden file is written once, by tests.golden.make; restore it"
    for room in GOLDEN:
        versions = sorted(int(file.stem) for file in files.values() if file.parent.name == room)
        assert versions == list(range(1, getattr(CURRENT, room) + 1))
