"""The folder that a report is saved to: what an earlier report left goes, what is a person's own stays."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from jobs.shared.report_folder import SUMS, make_folder, save_files
from lesionlab.errors import InputError

FIRST = {"report.html": b"one", "tables/a.csv": b"a", "studies/sub-1.html": b"1"}
SECOND = {"report.html": b"two", "tables/a.csv": b"b"}


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_an_earlier_report_left_goes(tmp_path: Path) -> None:
    save_files(FIRST, tmp_path)
    save_files(SECOND, tmp_path)
    assert names(tmp_path) == {*SECOND, SUMS}
    assert (tmp_path / "tables/a.csv").read_bytes() == b"b"


def test_files_of_others_stay_also_where_they_lie_among_ours(tmp_path: Path) -> None:
    save_files(FIRST, tmp_path)
    for name in ("notes.txt", "tables/mine.csv"):
        (tmp_path / name).write_text("mine")
    save_files(SECOND, tmp_path)
    assert names(tmp_path) == {*SECOND, SUMS, "notes.txt", "tables/mine.csv"}


def test_what_a_person_changed_is_a_persons_own(tmp_path: Path) -> None:
    save_files(FIRST, tmp_path)
    (tmp_path / "studies/sub-1.html").write_text("with my notes")
    save_files(SECOND, tmp_path)
    assert (tmp_path / "studies/sub-1.html").read_text() == "with my notes"


def test_a_list_cannot_name_files_outside_the_folder(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside.txt", tmp_path / "report"
    save_files({"../outside.txt": b"x"} | FIRST, folder)
    save_files(SECOND, folder)
    assert outside.read_bytes() == b"x"


def test_the_list_is_one_that_sha256sum_reads(tmp_path: Path) -> None:
    save_files(FIRST, tmp_path)
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path, check=True, capture_output=True)


def test_a_place_that_cannot_be_a_folder_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a person's own")
    with pytest.raises(InputError, match="taken: wanted a folder"):
        make_folder(tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "a person's own"
