"""Save a report to a folder and remove the files of an earlier report there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from jobs.shared.output_file import is_same_file, save_output
from lesionlab.analysis.report import PAGE, ReportResult
from lesionlab.errors import InputError
from lesionlab.store.objects import Store

PAGE_NAME = PAGE
"""File of the report's page in its folder."""

SUMS = "SHA256SUMS"
"""Lists the written files with their digests, in the format of `sha256sum --check`."""


@contextmanager
def report_folder(folder: Path | None, rows: Path | None = None) -> Iterator[None]:
    """Create the folder before computing, and remove it again, with the folders above it that were created, if nothing
    comes of it. None: no report is saved.

    Raises InputError if it cannot be created, or if the table to analyse is in the folder of the report's own tables.
    """
    if folder is None:
        yield
        return
    if rows is not None and is_same_file(rows.resolve().parent, folder / "tables"):
        raise InputError(f"--out {folder}: its tables would overwrite the input {rows}; choose another folder")
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--out {folder}: wanted a folder ({error.strerror}); choose another path") from error
        yield
    except BaseException:
        with suppress(OSError):  # not there, or not empty: what is in it is not ours to remove
            for path in created:
                path.rmdir()
        raise


def save_report(store: Store, result: ReportResult, folder: Path) -> Path:
    """Copy a report with its tables and figures from the store to the folder; return the page to open."""
    root = result.key.removesuffix(PAGE)
    save_files({key.removeprefix(root): store.get(key) for key in store.list(root)}, folder)
    return folder / PAGE


def save_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files by name. Of an earlier report, remove the files that its list names and that are unchanged;
    leave all other files in the folder."""
    for path in _stale_files(files, folder):
        path.unlink()
    sums = "".join(f"{sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    for name, data in {**files, SUMS: sums.encode()}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_output("--out", path, data)


def _stale_files(files: Mapping[str, bytes], folder: Path) -> Iterable[Path]:
    listed = folder / SUMS
    for line in listed.read_text(encoding="utf-8", errors="replace").splitlines() if listed.is_file() else ():
        digest, _, name = line.partition("  ")
        path = folder / name
        ours = name not in files and path.is_file() and path.resolve().is_relative_to(folder.resolve())
        if ours and sha256(path.read_bytes()).hexdigest() == digest:
            yield path
