"""What the page of a drawn study with one lesion and one prediction shows, and where the lesion is in its slice."""

from __future__ import annotations

import base64
import io
import re
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from lesionlab.analysis.figures.slices import read_prediction, read_volume
from lesionlab.analysis.figures.thumbnails import Thumbnails, edges
from lesionlab.analysis.pages import study_pages as room
from lesionlab.analysis.pages.contents import study_content
from lesionlab.analysis.pages.page import page as html_of
from lesionlab.analysis.pages.study_pages import limits_of_pages, models_on_pages, study_pages
from lesionlab.analysis.statistics.conditions import Condition
from tests.analysis.conftest import draw_lesions
from tests.analysis.figures.grey import APART, luminance


@pytest.fixture
def lesions(plan, rows):
    found = {run.run_id: [] for run in plan.runs}
    for row in rows:
        found[row.run_id] += draw_lesions(row)
    return found


@pytest.fixture
def pages(drawn_store, plan, rows, lesions):
    def build():
        return list(study_pages(drawn_store, plan, rows, lesions, models_on_pages(plan, rows)))

    return build


def test_both_methods_at_the_largest_size_are_shown(plan, rows):
    assert models_on_pages(plan, rows) == (
        Condition(arm="fine-tuned", source="drawn-glioma", training_size=8),
        Condition(arm="de-novo", source=None, training_size=8),
    )


def test_before_the_largest_size_has_results_the_largest_that_has_is_shown(plan, rows):
    early = [row for row in rows if row.training_size < 8]
    assert {model.training_size for model in models_on_pages(plan, early)} == {4}


def again(rows, **changes):
    """The same trained rows once more, under another stratum."""
    return [row.model_copy(update=changes) for row in rows if row.arm != "default"]


def test_models_that_are_not_shown_are_counted_and_the_rule_is_stated(plan, rows, pages):
    (limit,) = limits_of_pages(plan, rows)
    assert re.findall(r"\d+", limit) == ["2", "5", "8"]
    shown = pages()
    assert {one.limits for one in shown} == {(limit,)}
    assert limit in html_of("study.html.j2", study_content(plan, shown[0], "a" * 16))


def test_other_depths_and_a_bound_on_the_number_of_models_are_stated(plan, rows, monkeypatch):
    monkeypatch.setattr(room, "MOST_MODELS", 1)
    (limit,) = limits_of_pages(plan, rows + again(rows, depth=3))
    assert "depth 4" in limit
    assert re.findall(r"\d+", limit) == ["1", "9", "8", "4", "1", "2"]


def test_that_only_one_of_several_seeds_is_shown_is_stated(plan, rows):
    _, limit = limits_of_pages(plan, rows + again(rows, seed=3))
    assert re.findall(r"\d+", limit) == ["0", "3"]


def test_where_all_is_shown_nothing_is_said(plan, rows):
    assert limits_of_pages(plan, [row for row in rows if row.training_size == 8]) == ()


def test_every_missed_lesion_and_false_positive_of_the_shown_models_has_a_picture(pages, plan):
    found = pages()
    assert [page.entry.study for page in found] == sorted(entry.study for run in plan.runs[1:4] for entry in run.test)
    for page in found:
        told = [(mistake.model.arm, mistake.lesion.outcome) for mistake in page.mistakes]
        assert told == [
            ("fine-tuned", "false-positive"),
            ("fine-tuned", "missed"),
            ("de-novo", "false-positive"),
            ("de-novo", "missed"),
        ]
        assert page.left_out == 0


def test_beyond_the_bound_the_smaller_mistakes_are_left_out_and_counted(pages, monkeypatch):
    monkeypatch.setattr(room, "MOST_LESIONS", 1)
    for page in pages():
        assert {mistake.lesion.volume_mm3 for mistake in page.mistakes} == {128}
        assert page.left_out == 2


def test_a_prediction_that_is_not_there_is_named(drawn_store, pages):
    drawn_store.delete_prefix("runs/")
    for page in pages():
        assert page.mistakes == ()
        assert [model.arm for model in page.without_prediction] == ["fine-tuned", "de-novo"]


@pytest.fixture
def picture(drawn_store, manifest, rows):
    """Around the middle of the reference lesion, 28 × 32 mm: the whole layer."""
    entry = manifest.studies[1]
    row = next(row for row in rows if row.study == entry.study)
    thumbnails = Thumbnails(read_volume(drawn_store, entry))
    return str(thumbnails.at((7.0, -1.0, 4.0), read_prediction(drawn_store, row), "missed"))


def test_the_outlines_lie_around_the_lesions(picture):
    # Native voxels 3 and 4 from the patient's right, 7 and 8 of 16 from the back: columns 3 and 4, rows 7 and 8.
    assert re.search(r'class="reference" d="([^"]*)"', picture)[1] == "M3 7h2M3 9h2M3 7v2M5 7v2"
    assert re.search(r'class="prediction" d="([^"]*)"', picture)[1] == "M4 6h2M4 8h2M4 6v2M6 6v2"


def test_the_picture_is_the_grey_layer_at_its_true_proportions(picture):
    assert 'viewBox="0 0 28 32"' in picture
    png = base64.b64decode(re.search(r"base64,([^\"]*)", picture)[1])
    grey = np.asarray(Image.open(io.BytesIO(png)))
    assert grey.shape == (16, 14)
    assert grey.dtype == np.uint8
    assert grey[7, 7] > 200 > 50 > grey[0, 0]


def test_the_outlines_are_told_apart_without_colour():
    style = files("lesionlab.analysis.pages").joinpath("templates/style.css.j2").read_text()
    prediction, reference = (
        re.search(rf"svg.cut .{which} {{(.*?)}}", style)[1] for which in ("prediction", "reference")
    )
    assert "stroke-dasharray" in prediction
    assert "stroke-dasharray" not in reference
    bright, dark = (luminance(re.search(r"stroke: (#\w+)", look)[1]) for look in (reference, prediction))
    assert bright - dark > APART


def test_an_outline_goes_round_holes_and_corners():
    mask = np.ones((3, 3), dtype=bool)
    mask[1, 1] = False
    assert edges(mask) == "M0 0h3M1 1h1M1 2h1M0 3h3M0 0v3M1 1v1M2 1v1M3 0v3"
    assert edges(np.zeros((2, 2), dtype=bool)) == ""
