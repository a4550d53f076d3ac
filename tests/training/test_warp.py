"""Patches that are deformed one by one: smooth, repeatable, in millimetres, and still around their lesion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lesionlab.training.augmented import copies_of
from lesionlab.training.copies import Copies, epoch_patches
from lesionlab.training.feed import Ahead, load
from lesionlab.training.warp import deformed, draw_warp
from storage_schemas.runs import Elastic
from tests.training.drawn import draw_study, make_run

CPU = torch.device("cpu")
STUDIES = [draw_study(1), draw_study(2, edge=12)]
"""The second one is smaller than a patch."""
ELASTIC = Elastic(control_spacing_mm=16, sd_mm=2)
RUN = make_run(STUDIES, augmentation="every-patch", elastic=ELASTIC, patches_per_study=6, augmentations=2)


def patches_of(run, cache, epoch=0):
    return epoch_patches(run, epoch, Copies(run, STUDIES, cache))


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_batch_is_the_same_however_it_is_shared_out_and_whatever_was_drawn_before(tmp_path):
    batch = load(patches_of(RUN, tmp_path)[:4], RUN.training, CPU)
    again = patches_of(RUN, tmp_path)
    shares = [load(again[rank:4:2], RUN.training, CPU) for rank in (1, 0)]
    assert same([part[0::2] for part in batch], shares[1])
    assert same([part[1::2] for part in batch], shares[0])
    assert (batch[0].dtype, batch[1].dtype) == (torch.float32, torch.int64)


def test_batches_cut_ahead_for_a_device_are_deformed_there_alike(tmp_path):
    patches = patches_of(RUN, tmp_path)
    shares = [patches[:3], patches[3:5]]
    with Ahead(shares, RUN.training, CPU) as ahead:
        found = list(ahead)
    assert all(same(batch, load(share, RUN.training, CPU)) for batch, share in zip(found, shares, strict=True))


def test_each_epoch_each_patch_and_each_seed_is_deformed_in_its_own_way(tmp_path):
    def controls(run, epoch):
        return [patch.warp.control_APQR for patch in patches_of(run, tmp_path, epoch)]

    drawn = [*controls(RUN, 0), *controls(RUN, 1), *controls(make_run(STUDIES, seed=1, **settings()), 0)]
    assert len({control.tobytes() for control in drawn}) == 3 * 2 * 2 * 6


def settings():
    return RUN.training.model_dump(include={"augmentation", "elastic", "patches_per_study", "augmentations"})


def test_the_node_keeps_each_study_once_and_undeformed(tmp_path):
    patches = patches_of(RUN, tmp_path)
    load(patches, RUN.training, CPU)
    names = {path.name for path in (tmp_path / "augmented").iterdir() if path.is_dir()}
    assert names == copies_of(RUN)
    assert len(names) == len(STUDIES)
    (first,) = {patch.volume.image_CIJK.tobytes() for patch in patches if patch.volume.study == "sub-001"}
    assert first == STUDIES[0].image_CIJK.tobytes()


def test_the_lesion_voxel_that_a_patch_was_drawn_for_stays_in_its_place(tmp_path):
    patches = [patch for patch in patches_of(RUN, tmp_path) if patch.place < RUN.training.patches_per_study // 2]
    _, label_BIJK = load(patches, RUN.training, CPU)
    for patch, label_IJK in zip(patches, label_BIJK, strict=True):
        assert label_IJK[tuple(patch.draws._starts.lesion_P3[patch.place] - patch.start)] == 1


def test_without_a_displacement_patches_are_cut_from_the_study(tmp_path):
    still = make_run(STUDIES, **settings() | {"elastic": Elastic(sd_mm=0)})
    cut = make_run(STUDIES, **settings() | {"elastic": Elastic(sd_mm=0), "augmentation": "fixed-copies"})
    assert same(*(load(patches_of(run, tmp_path)[:4], run.training, CPU) for run in (still, cut)))


@pytest.mark.parametrize("spacing_mm", [1.0, 2.0])
def test_displacements_have_the_requested_sd_in_millimetres_and_are_smooth(spacing_mm):
    # Each voxel of the image holds its own coordinate in mm, so the patch shows its displacement.
    edge, start = 32, np.array([20, 10, 30])
    elastic, rng = Elastic(control_spacing_mm=16, sd_mm=1.5), np.random.default_rng(0)
    warp = draw_warp(elastic, spacing_mm, (64, 60, 70), start, start + 16, edge, rng)
    warp = replace(warp, anchor_A=0 * warp.anchor_A)
    place_AIJK = np.indices((edge + 2 * warp.reach,) * 3).astype(np.float32) - warp.reach
    nothing = torch.zeros(1, *place_AIJK.shape[1:], dtype=torch.uint8)
    (moved_AIJK,), _ = deformed(torch.from_numpy(place_AIJK * spacing_mm)[None], nothing, [warp])
    displacement_AIJK = moved_AIJK.numpy() - np.indices((edge,) * 3) * spacing_mm
    wanted_AIJK = np.einsum("apqr,ip,jq,kr->aijk", warp.control_APQR, *warp.weights) * spacing_mm
    np.testing.assert_allclose(displacement_AIJK, wanted_AIJK, atol=1e-3)
    assert 0.8 < displacement_AIJK.std() < 1.7
    assert np.abs(np.diff(displacement_AIJK, axis=1)).max() / spacing_mm < 1  # the order of voxels is kept


def test_image_and_label_are_deformed_alike(tmp_path):
    patches = [patch for patch in patches_of(RUN, tmp_path) if patch.volume.study == "sub-001"][:3]
    warps, reach = [patch.warp for patch in patches], patches[0].warp.reach
    rng = np.random.default_rng(0)
    label_BIJK = torch.from_numpy((rng.random((3, *(16 + 2 * reach,) * 3)) < 0.3).astype(np.uint8))
    image_BCIJK, moved_BIJK = deformed(label_BIJK[:, None].half(), label_BIJK, warps)
    assert moved_BIJK.dtype == torch.uint8
    assert moved_BIJK[image_BCIJK[:, 0] > 0.99].all()
    assert not moved_BIJK[image_BCIJK[:, 0] < 0.01].any()
