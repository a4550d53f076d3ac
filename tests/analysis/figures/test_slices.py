"""Which studies and which slice are shown, and that left, front and the outlines are where they should be."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lesionlab.analysis.figures.overlays import overlay_figure
from lesionlab.analysis.figures.slices import read_slice, representative_studies, shown_models
from lesionlab.analysis.statistics.conditions import conditions
from lesionlab.analysis.words import captions as words
from lesionlab.store.arrays import read_array, read_attributes, write_group
from storage_schemas import keys
from storage_schemas.volumes import ATTRIBUTE, PREDICTION_ATTRIBUTE


@pytest.fixture
def models(cells):
    return shown_models(conditions(cells))


@pytest.fixture
def entry(manifest):
    return manifest.studies[1]


def test_smallest_median_and_largest_load_of_the_studies_that_all_models_were_tested_on(rows, models):
    # The default model is tested on the first subset only, so the choice is among its four studies.
    loads = sorted({(row.reference_ml, row.study) for row in rows if row.arm == "default"})
    assert representative_studies(rows, models) == (loads[0][1], loads[1][1], loads[3][1])


def test_predictions_do_not_change_the_choice(rows, models):
    blind = [
        row.model_copy(update={"true_positives": 0, "sensitivity": 0.0, "ppv": None, "predicted_ml": 0.0})
        for row in rows
    ]
    assert representative_studies(list(reversed(blind)), models) == representative_studies(rows, models)


def test_studies_without_lesions_are_not_shown(rows, models):
    healthy = [row.model_copy(update={"reference_ml": 0.0}) for row in rows]
    assert representative_studies(healthy, models) == ()


def test_only_the_smallest_and_the_largest_size_are_shown(rows, cells):
    between = [cell.model_copy(update={"training_size": 6}) for cell in cells if cell.training_size == 4]
    assert {model.training_size for model in shown_models(conditions([*cells, *between]))} == {0, 4, 8}


def test_the_slice_with_most_lesion_is_shown_with_the_patients_right_on_the_left(drawn_store, entry, rows, models):
    shown = read_slice(drawn_store, entry, rows, models)
    # Native voxels 3 and 4 of 14 count from the patient's right (affine −2 mm), so they stand left of the middle;
    # 7 and 8 of 16 count from the back, so they stand in rows 7 and 8 from the front.
    assert sorted(map(tuple, np.argwhere(shown.reference))) == [(7, 3), (7, 4), (8, 3), (8, 4)]
    assert shown.caption.endswith("z = 4 mm")
    assert shown.spacing_mm == (2.0, 2.0)


def test_predictions_lie_on_the_slice_of_the_reference(drawn_store, entry, rows, models):
    for panel in read_slice(drawn_store, entry, rows, models).panels:
        assert sorted(map(tuple, np.argwhere(panel.mask))) == [(6, 4), (6, 5), (7, 4), (7, 5)]
        assert re.match(r"\D+\d+ of \d+\n\D+\d+$", panel.caption)


def test_the_picture_is_the_study_image_on_the_native_grid(drawn_store, entry, rows, models):
    shown = read_slice(drawn_store, entry, rows, models)
    rows_columns = np.argwhere(shown.picture > 0)
    middle = rows_columns.mean(axis=0)
    # The ball's centre (0, 0 mm) is native voxel i = 7, j = 8: column 7, row 15 − 8.
    assert middle == pytest.approx([7, 7], abs=0.5)


AXES = {"as stored": (0, 1, 2), "sagittal": (2, 1, 0), "coronal": (1, 2, 0)}


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES.keys())
@pytest.mark.parametrize("flip", [0, 1, 2])
def test_another_order_of_the_native_voxels_shows_the_same_slice(drawn_store, entry, rows, models, axes, flip):
    before = read_slice(drawn_store, entry, rows, models)
    places = [entry.volume_key] + [
        keys.PREDICTION.build(run_id=row.run_id, study=row.study) for row in rows if row.study == entry.study
    ]
    for place, name, attribute in zip(
        places, ["native_label", *["mask"] * 99], [ATTRIBUTE, *[PREDICTION_ATTRIBUTE] * 99], strict=False
    ):
        attributes = read_attributes(drawn_store, place)
        grid = attributes[attribute]["native_grid"]
        turned = np.flip(read_array(drawn_store, place, name).transpose(axes), axis=flip)
        affine = np.array(grid["affine"])[:, [*axes, 3]]
        affine[:, 3] += affine[:, flip] * (turned.shape[flip] - 1)
        affine[:, flip] *= -1
        grid |= {"shape": list(turned.shape), "affine": affine.tolist()}
        arrays = {name: turned}
        if name == "native_label":
            arrays["image"] = read_array(drawn_store, place, "image")
        write_group(drawn_store, place, arrays, attributes)
    after = read_slice(drawn_store, entry, rows, models)
    np.testing.assert_array_equal(after.reference, before.reference)
    np.testing.assert_allclose(after.picture, before.picture, atol=1e-5)
    assert after.spacing_mm == before.spacing_mm
    for one, other in zip(after.panels, before.panels, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)


def test_a_model_that_was_not_tested_on_the_study_has_an_empty_panel_with_a_reason(drawn_store, manifest, rows, models):
    shown = read_slice(drawn_store, manifest.studies[-1], rows, models)
    assert [panel.caption for panel in shown.panels if panel.mask is None] == [words.NOT_TESTED]


def test_of_several_seeds_the_lowest_is_shown_and_named(drawn_store, entry, rows, models):
    more = [row.model_copy(update={"seed": 7, "true_positives": 0}) for row in rows if row.arm == "de-novo"]
    captions = {
        panel.condition.arm: panel.caption for panel in read_slice(drawn_store, entry, rows + more, models).panels
    }
    assert captions["de-novo"].endswith(words.seed_of(0, 2))
    assert "seed" not in captions["fine-tuned"]


def test_the_figure_has_a_row_per_study_and_a_column_per_model(drawn_store, manifest, rows, models):
    slices = [read_slice(drawn_store, entry, rows, models) for entry in manifest.studies[:2]]
    assert len(overlay_figure(slices).axes) == 2 * (2 + len(models))
