"""A report that leaves: no label of a study, patient or image in any file, no count of few, and no number of them."""

from __future__ import annotations

import re
import struct
from csv import DictReader
from hashlib import sha256
from io import StringIO

import pytest

from lesionlab.analysis.shared_report import SharedReport, shared_experiment, shared_table
from lesionlab.analysis.sheets.cross_site_tables import cross_site_sheets
from lesionlab.analysis.sheets.shared_sheets import let_out
from lesionlab.analysis.sheets.sheet import Sheet, columns
from lesionlab.analysis.statistics.conditions import conditions, rows_by_condition
from lesionlab.analysis.statistics.cross_site import cross_site
from lesionlab.analysis.statistics.external import Table
from lesionlab.analysis.statistics.sharing import Share, narrow
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.errors import InputError
from lesionlab.store.documents import write_document
from storage_schemas import keys
from storage_schemas.sites import SmallestCounts
from tests.analysis import drawn_sites
from tests.analysis.drawn_rows import drawn_rows

PLANTED = {"study": "STUDYLABEL-{}", "patient": "PATIENTLABEL-{}", "site": "SITELABEL-{}"}


def table_of(rows) -> Table:
    planted = tuple(
        row.model_copy(update={name: text.format(getattr(row, name)) for name, text in PLANTED.items()}) for row in rows
    )
    return Table("results.csv", sha256(b"").hexdigest(), ("study", "patient", "site"), planted)


def lacking_some():
    """60 patients; of two, one arm has no PPV."""
    return [
        row.model_copy(update={"ppv": None}) if row.study in ("sub-017", "sub-031") and row.arm == "de-novo" else row
        for row in drawn_rows(1, {"fine-tuned": 0.8, "de-novo": 1.0}, sizes=(10,), rater=0.6)
    ]


@pytest.fixture(scope="module")
def consortium() -> SharedReport:
    return shared_table(table_of(lacking_some()), "per-study", Options(null_repetitions=0), Share("consortium", 11))


@pytest.fixture(scope="module")
def public(draw_store, plan) -> SharedReport:
    """Of an experiment in a store, 12 patients."""
    return shared_experiment(draw_store(), plan, Share("public", 5), 0)


def texts(report: SharedReport) -> dict[str, str]:
    """Every file as text, whatever it is; of a PNG everything but its pixels."""
    return {
        name: (_around_pixels(content) if name.endswith(".png") else content).decode("latin-1")
        for name, content in report.files.items()
    }


def _around_pixels(png: bytes) -> bytes:
    return b"".join(data for kind, data in chunks(png) if kind != b"IDAT")


def chunks(png: bytes):
    place = 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        place += 12 + length


def test_no_label_is_in_any_file_of_a_consortium_report(consortium):
    told = texts(consortium)
    for planted in ("STUDYLABEL", "PATIENTLABEL"):
        assert [name for name, text in told.items() if planted in text or planted in name] == []
    assert any("SITELABEL-north" in text for text in told.values())


def test_no_label_image_or_site_is_in_any_file_of_a_public_report(public, manifest):
    told = texts(public)
    images = [entry.image_sha256 for entry in manifest.studies] + [entry.volume for entry in manifest.studies]
    for planted in ("sub-0", "north", "south", *images):
        assert [name for name, text in told.items() if planted in text] == []
    assert "site-A" in told["report.html"].encode("latin-1").decode()


def test_pictures_are_pixels_alone(consortium):
    assert {name.rpartition(".")[2] for name in consortium.files if name.startswith("figures/")} == {"png"}
    kinds = {kind for name, data in consortium.files.items() if name.endswith(".png") for kind, _ in chunks(data)}
    assert kinds <= {b"IHDR", b"pHYs", b"IDAT", b"IEND"}
    assert "<svg" not in texts(consortium)["report.html"]


def test_what_is_of_single_studies_lesions_or_few_patients_is_no_file(consortium, public):
    for report in (consortium, public):
        left = {
            "studies.csv",
            "lesions.csv",
            "summary.csv",
            "effects.csv",
            "lesion-volumes",
            "ours-rater",
            "ours-pooled",
        }
        assert not [name for name in report.files if any(one in name for one in left) or name.startswith("studies/")]
    assert "Too few patients: default model and Grader 2." in texts(consortium)["report.html"]
    table = consortium.files["tables/table-3.csv"].decode()
    assert "Default" not in table
    assert "p default" not in table


def test_no_exact_number_of_patients_or_studies_leaves(consortium):
    for name, data in consortium.files.items():
        if not name.endswith(".png"):
            assert not re.search(r"\b[nF] = \d", data.decode()), name
        if name.endswith((".csv", ".md", ".txt")):
            assert not re.search(r"(?<![.\d])(58|60)\b(?! %)", data.decode()), name
    rows = list(DictReader(StringIO(consortium.files["tables/every-comparison.csv"].decode())))
    assert {row["n"] for row in rows} == {"≥ 55"}
    assert not {"Statistic", "Undefined", "Note", "difference"} & set(rows[0])


def test_means_of_one_metric_are_of_the_same_patients(consortium):
    rows = [row for row in lacking_some() if row.arm in ("fine-tuned", "de-novo") and row.training_size == 10]
    both = {row.study for row in rows} - {"sub-017", "sub-031"}
    table = list(DictReader(StringIO(consortium.files["tables/table-3.csv"].decode())))
    for arm, method in (("fine-tuned", "FT"), ("de-novo", "DN")):
        own = [row.ppv for row in rows if row.arm == arm and row.study in both]
        line = next(line for line in table if (line["Model"], line["Method"]) == ("10", method))
        assert line["Lesionwise PPV: mean ± SE"].startswith(f"{sum(own) / 58:.2f} ±")


def test_patients_are_counted_by_age_bands_and_few_are_withheld(public):
    table = public.files["tables/patients-by-site.md"].decode()
    assert "| Patients" in table
    assert "3 T" in table


def test_the_matrix_of_sites_has_no_small_site_and_hides_it():
    rows, share = drawn_sites.drawn_rows({"hdxt": 24, "mr750": 12, "skyra": 4}), Share("consortium", 10)
    narrowed = narrow(rows, "exclude", share)
    own = rows_by_condition(narrowed.rows)
    found = cross_site(own, conditions(narrowed.rows), "exclude", share.smallest, narrowed.sites)
    sheets = let_out({"sites": cross_site_sheets(found)}, share, narrowed.sites)["sites"]
    titles = [column.title for column in sheets["cross-site-sensitivity"].columns]
    assert titles == ["Model", "N", "Trained on", "hdxt", "every site"]
    assert {row[3] for row in sheets["cross-site-gaps"].rows} == {"hdxt", "every site"}
    assert {row[-1] for row in sheets["cross-site-gaps"].rows} == {"≥ 20", "≥ 40"}
    assert sheets["cross-site-gaps"].numbers == ()


def test_a_table_or_a_column_that_nobody_listed_stays_inside():
    sheet = Sheet("New", columns("Model", "Youngest"), (("de novo", "19"),))
    share = Share("public")
    assert let_out({"further": {"ours-new": sheet}}, share, ()) == {"further": {}}
    (out,) = let_out({"sites": {"sites": sheet}}, share, ())["sites"].values()
    assert (out.columns, out.rows) == (columns("Model"), (("de novo",),))


def test_what_the_consortium_agreed_on_holds_whatever_is_asked_for(draw_store, plan):
    store = draw_store()
    counts = SmallestCounts(consortium="pool", smallest_count=5, sites={"north": 13, "west": 20})
    write_document(store, keys.SMALLEST_COUNTS.build(), counts)
    with pytest.raises(InputError, match="wanted a model with values of at least 13 patients, found 12 at most"):
        shared_experiment(store, plan, Share("public", 5), 0)


def test_a_report_of_too_few_patients_is_refused():
    with pytest.raises(InputError, match="wanted a model with values of at least 61 patients, found 60 at most"):
        shared_table(table_of(lacking_some()), "per-study", Options(null_repetitions=0), Share("public", 61))
