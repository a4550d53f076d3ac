"""Saving a report removes the stale files of an earlier report and keeps the user's files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from jobs.shared.report_folder import SUMS, report_folder, save_files
from lesionlab.errors import InputError

FIRST = {"report.html": b"one", "tables/a.csv": b"a", "studies/sub-1.html": b"1"}
SECOND = {"report.html": b"two", "tables/a.csv": b"b"}


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_stale_files_of_an_earlier_report_are_removed(tmp_path: Path) -> None:
    save_files(FIRST, tmp_path)
    save_files(SECOND, tmp_path)
    assert names(tmp_path) == {*SECOND, SUMS}
    assert (tmp_path / "tables/a.csv").read_bytes() == b"b"


def test_other_files_are_kept_even_among_the_reports_files(tmp_path: Path) -> None:
    save_files(FIRST, tmp_path)
    for name in ("notes.txt", "tables/mine.csv"):
        (tmp_path / name).write_text("mine")
    save_files(SECOND, tmp_path)
    assert names(tmp_path) == {*SECOND, SUMS, "notes.txt", "tables/mine.csv"}


def test_a_file_that_the_user_changed_is_kept(tmp_path: Path) -> None:
    save_files(FIRST, tmp_path)
    (tmp_path / "studies/sub-1.html").write_text("with my notes")
    save_files(SECOND, tmp_path)
    assert (tmp_path / "studies/sub-1.html").read_text() == "with my notes"


def test_the_list_never_removes_files_outside_the_folder(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside.txt", tmp_path / "report"
    save_files({"../outside.txt": b"x"} | FIRST, folder)
    save_files(SECOND, folder)
    assert outside.read_bytes() == b"x"


def test_sha256sum_can_check_the_list(tmp_path: Path) -> None:
    save_files(FIRST, tmp_path)
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path, check=True, capture_output=True)


def test_a_path_that_cannot_be_a_folder_is_refused_before_computing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a user's file")
    with pytest.raises(InputError, match="taken: wanted a folder"), report_folder(tmp_path / "taken"):
        pytest.fail("computed")
    assert (tmp_path / "taken").read_text() == "a user's file"


def fail_in(folder: Path, problem: BaseException, note: str = "") -> None:
    with report_folder(folder):
        assert folder.is_dir()
        if note:
            (folder / note).touch()
        raise problem


@pytest.mark.parametrize("problem", [InputError("line 2: wanted a number"), KeyboardInterrupt()], ids=repr)
def test_of_a_report_that_fails_no_empty_folder_stays(tmp_path: Path, problem: BaseException) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(type(problem)):
        fail_in(tmp_path / "mine" / "new" / "report", problem)
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_report_that_fails_leaves_folders_that_were_there_and_files_of_others(tmp_path: Path) -> None:
    (own := tmp_path / "own").mkdir()
    for folder, note in ((own, ""), (tmp_path / "new", "note.txt")):
        with pytest.raises(InputError):
            fail_in(folder, InputError("line 2: wanted a number"), note)
    assert own.is_dir()
    assert (tmp_path / "new" / "note.txt").is_file()


def test_without_a_folder_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with report_folder(None):
        pass
    assert list(tmp_path.iterdir()) == []
