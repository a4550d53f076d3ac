"""The report in a real browser, without a network: it renders without a complaint, sorts, filters and prints.

Needs Chromium or Chrome on the PATH; without one these tests skip.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.shared.report_folder import save_files, save_report
from lesionlab.analysis.report import table_report
from lesionlab.analysis.sheets.records import csv_text
from lesionlab.analysis.statistics.compute import statistics
from lesionlab.analysis.statistics.external import read_table, unit_of
from lesionlab.analysis.statistics.supplementary import Options
from tests.analysis.drawn_rows import drawn_rows

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--enable-logging=stderr"),
    *("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"),
)
WAIT_S = 120

Browser = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """Opens a page; what the page writes to its console stands in stderr."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH")
    profile = tmp_path_factory.mktemp("profile")

    def call(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = [program, *OPTIONS, f"--user-data-dir={profile}", *options, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=WAIT_S)

    return call


@pytest.fixture(scope="module")
def folder(browser, request, tmp_path_factory):
    """Of a report, which is written only where there is a browser."""
    return save_report(*request.getfixturevalue("written"), tmp_path_factory.mktemp("report")).parent


def complaints(opened):
    return [line for line in opened.stderr.splitlines() if "CONSOLE" in line]


def after(page: Path, script: str) -> Path:
    """A copy of the page beside it, in which this happens once it is there."""
    copy = page.with_name("after-" + page.name)
    copy.write_text(page.read_text().replace("</body>", f"<script>{script}</script></body>"))
    return copy


def test_the_report_renders_without_a_complaint(browser, folder):
    opened = browser(folder / "report.html", "--dump-dom")
    assert complaints(opened) == []
    assert opened.stdout.count('class="sort"') > 20


def test_the_report_of_a_table_renders_and_sorts_too(browser, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(
        csv_text([row.model_dump() for row in drawn_rows(2, {"fine-tuned": 0.6, "de-novo": 1.0}, sizes=(10, 50))])
    )
    table = read_table(path)
    found = statistics(table.rows, table.rows, unit_of(table, None), Options(null_repetitions=0))
    save_files(table_report(table, found), tmp_path)
    click = "document.querySelector('#sites table.sortable th:nth-child(3) button').click();"
    opened = browser(after(tmp_path / "report.html", click), "--dump-dom")
    assert complaints(opened) == []
    sizes = column(opened.stdout, "sites", 2)
    assert sizes == sorted(sizes)
    assert sizes != column((tmp_path / "report.html").read_text(), "sites", 2)


def test_a_page_that_is_broken_does_complain(browser, folder):
    broken = after(folder / "report.html", "nothing.of.this.is.there")
    assert any("nothing is not defined" in line for line in complaints(browser(broken, "--dump-dom")))


def column(dom: str, section: str, place: int) -> list[float]:
    """The numbers of a column of the first sortable table of a section, top down."""
    table = re.search(rf'id="{section}".*?<table class="sortable".*?<tbody>(.*?)</tbody>', dom, re.DOTALL)[1]
    rows = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)[place] for row in rows]
    return [float(cell) for cell in cells]


@pytest.mark.parametrize("clicks", [1, 2], ids=["once", "twice"])
def test_a_click_on_a_heading_sorts_the_table_and_another_turns_it_round(browser, folder, clicks):
    click = "document.querySelector('#studies table.sortable th:nth-child(4) button').click();"
    opened = browser(after(folder / "report.html", click * clicks), "--dump-dom")
    assert complaints(opened) == []
    volumes = column(opened.stdout, "studies", 3)
    assert volumes == sorted(volumes, reverse=clicks == 2)
    assert volumes != column((folder / "report.html").read_text(), "studies", 3)


def test_undefined_values_stay_last_whichever_way_the_table_is_sorted(browser, folder):
    # The second row loses its value; both directions are tried, the last one stays.
    script = """
        const table = document.querySelector('#studies table.sortable');
        table.tBodies[0].rows[1].cells[3].textContent = '–';
        const last = () => table.tBodies[0].rows[11].cells[3].textContent;
        const button = table.querySelector('th:nth-child(4) button');
        button.click(); const up = last(); button.click();
        document.title = up + last();
    """
    assert "<title>––</title>" in browser(after(folder / "report.html", script), "--dump-dom").stdout


def test_the_page_of_a_study_sorts_and_filters_its_pictures(browser, folder):
    page = next((folder / "studies").glob("sub-*.html"))
    script = """
        document.querySelectorAll('#mistakes th button')[3].click();
        const [, outcome] = document.querySelectorAll('select');
        outcome.value = 'missed'; outcome.dispatchEvent(new Event('change'));
        const rows = [...document.querySelectorAll('#mistakes tbody tr')];
        document.title = rows.map((row) => row.cells[4].textContent + (row.hidden ? 'h' : '')).join();
    """
    opened = browser(after(page, script), "--dump-dom")
    assert complaints(opened) == []
    assert "<title>80.0,80.0,128.0h,128.0h</title>" in opened.stdout
    assert opened.stdout.count('class="cut"') == 4


def test_the_report_prints(browser, folder, tmp_path):
    printed = tmp_path / "report.pdf"
    browser(folder / "report.html", "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    data = printed.read_bytes()
    assert data.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", data)) >= 4
