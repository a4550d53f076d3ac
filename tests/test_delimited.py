"""Text tables are read alike everywhere, or refused with what to do."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from lesionlab.delimited import is_missing, read_delimited
from lesionlab.errors import InputError


@pytest.mark.parametrize(
    "cell",
    [
        "",
        " ",
        "NA",
        "n/a",
        "NaN",
        "<NA>",
        "None",
        "null",
        ".",
        "-",
        "–",
        "#DIV/0!",
        "#N/A",
        "n. a.",
        "Unknown",
        "#VALUE!",
    ],
)
def test_what_programs_write_for_no_value_is_no_value(cell: str) -> None:
    assert is_missing(cell)


@pytest.mark.parametrize("cell", ["0", "no", "n", "naan", "?", "00"])
def test_other_cells_are_values(cell: str) -> None:
    assert not is_missing(cell)


@pytest.mark.parametrize(
    ("content", "divider"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1;2\n", ";"),
        ("a\tb\n1\t2\n", "\t"),
        ("sep=;\na;b\n1;2\n", ";"),
        ("sep=,\r\na,b\r\n1,2\r\n", ","),
    ],
)
def test_the_divider_is_found_and_lines_keep_their_numbers(tmp_path: Path, content: str, divider: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode())
    table = read_delimited(path)
    assert (table.columns, table.divider) == (("a", "b"), divider)
    assert table.rows == ((content.count("\n"), ("1", "2")),)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"PK\x03\x04rest", "a spreadsheet (.xlsx, .ods) or another ZIP archive; save it as CSV"),
        (b"\xd0\xcf\x11\xe0rest", "a spreadsheet (.xls); save it as CSV"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer; fetch its content (git lfs pull)"),
        (b"\n<!DOCTYPE html><html>", "a web page, so the download failed"),
        ("study\n".encode("utf-16-le"), "text in UTF-16; save it as UTF-8 with commas"),
        ("study\n".encode("utf-16"), "text in UTF-16; save it as UTF-8 with commas"),
        (gzip.compress(b"an image", mtime=0), "found binary data"),
        (b"\x5c\x01\0\0 as NIfTI starts \xff", "found binary data"),
        ("Zürich\n".encode("latin-1"), "another encoding, such as Latin-1 or UTF-16; save it as UTF-8 with commas"),
    ],
)
def test_what_is_no_text_table_is_named_with_what_to_do(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_delimited(path)
    (fault,) = refused.value.args
    assert found in fault
