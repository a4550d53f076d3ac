"""The benchmark suite, rehearsed without its peers; a peer that does other work is noticed."""

from __future__ import annotations

import pytest

from tests.benchmarks import suite
from tests.benchmarks.frame import Contender, Row, measure


@pytest.mark.parametrize("row", [row for row in suite.ROWS if row != "startup"])
def test_every_row_is_rehearsed_in_seconds(row, tmp_path, capsys):
    assert suite.main(["--tiny", "--row", row, "--out", str(tmp_path / "table.md")]) == 0
    lines = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()
    assert capsys.readouterr().out.splitlines() == lines
    ours = [line.split(" | ") for line in lines if line.startswith(f"| {row} |") and "| lesionlab |" in line]
    assert ours
    assert all(float(cells[3]) > 0 and cells[5] == "1.00" for cells in ours)


def test_contenders_take_turns_after_the_check():
    done = []
    work = {name: (lambda name=name: done.append(name)) for name in ("ours", "peer")}
    contenders = [Contender(name, own) for name, own in work.items()]
    measured = measure(Row("drawn", "nothing", contenders, lambda: done.append("check") or "nothing", runs=2))
    assert done == ["check", "ours", "peer", "ours", "peer"]
    assert [len(seconds) for seconds in measured.seconds.values()] == [2, 2]


def test_a_row_whose_contenders_do_other_work_is_not_measured():
    def check() -> str:
        raise AssertionError("2 lesions, 3 lesions")

    measured = measure(Row("drawn", "count", [Contender("ours", lambda: None)], check))
    assert measured.seconds == {}
    assert list(measured.lines()) == ["| drawn | count | | | | | FAILED: AssertionError: 2 lesions, 3 lesions |"]
