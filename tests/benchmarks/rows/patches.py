"""Patches for training: from copies of the head that are deformed once (ours), and deformed one by one (peers)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lesionlab.training.augmented import open_augmented
from lesionlab.training.copies import epoch_patches
from lesionlab.training.feed import Patch, load
from tests.benchmarks.frame import Contender, Row, absent
from tests.training.drawn import draw_study, make_run

CPU = torch.device("cpu")
BATCH = 4


def rows(*, tiny: bool) -> Iterator[Row]:
    """A batch from copies that are there, and the first batch, with its copies."""
    edge, patch = (24, 8) if tiny else (160, 96)
    study = draw_study(1, edge=edge)
    run = make_run([study], patch_voxels=patch, patches_per_study=BATCH, augmentations=1, batch_size=BATCH)
    with tempfile.TemporaryDirectory(prefix="lesionlab-bench-") as folder:
        copies = [open_augmented(study, study.entry.volume, 0, run.training, 0, Path(folder))]
        patches = epoch_patches(run, 0, copies)
        peers, missing = _peers(patches, patch, tiny)
        runs = 1 if tiny else 2

        def again() -> Any:
            return load(patches, run.training, CPU)

        def first() -> Any:
            with tempfile.TemporaryDirectory(prefix="lesionlab-bench-") as own:
                return load(
                    epoch_patches(run, 0, [open_augmented(study, study.entry.volume, 0, run.training, 0, Path(own))]),
                    run.training,
                    CPU,
                )

        def check() -> str:
            image_BCIJK, label_BIJK = again()
            for one in peers:
                image, label = one.work()  # type: ignore[misc]
                assert image.shape == image_BCIJK.shape, f"{one.name}: images of {tuple(image.shape)}"
                assert label.shape == label_BIJK.shape, f"{one.name}: labels of {tuple(label.shape)}"
                assert {*np.unique(label).tolist()} <= {0, 1}, f"{one.name}: labels that are none"
            return f"{BATCH} patches of {patch}³, float32, labels 0 and 1; random displacements of 3 mm SD or as near"

        copy_work = f"first batch of {BATCH}, one study, one copy"
        yield Row(
            "patches", f"batch of {BATCH}", [Contender("lesionlab", again), *peers], check, missing=missing, runs=runs
        )
        yield Row("patches", copy_work, [Contender("lesionlab", first), *peers], check, missing=missing, runs=runs)


def _peers(patches: list[Patch], edge: int, tiny: bool) -> tuple[list[Contender], tuple[str, ...]]:
    """Peers deform each patch by itself, cut from the undeformed head."""
    makers = {"batchgeneratorsv2": _batchgenerators, "torchio": _torchio, "monai": _monai}
    missing = tuple(makers) if tiny else absent(*makers)
    images = [(patch.volume.image_CIJK[:, *_box(patch, edge)].astype(np.float32)) for patch in patches]
    labels = [patch.volume.label_IJK[_box(patch, edge)].copy() for patch in patches]
    found = []
    for name, make in makers.items():
        if name not in missing:
            deform = make(edge)
            found.append(Contender(name, partial(_all, deform, images, labels)))
    return found, missing


def _box(patch: Patch, edge: int) -> tuple[slice, ...]:
    return tuple(slice(int(first), int(first) + edge) for first in patch.start)


def _all(deform: Any, images: list[Any], labels: list[Any]) -> tuple[Any, Any]:
    found = [deform(image, label) for image, label in zip(images, labels, strict=True)]
    return np.stack([image for image, _ in found]), np.stack([label for _, label in found])


def _batchgenerators(edge: int) -> Any:
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    transform = SpatialTransform(
        (edge,) * 3, 0, False, p_elastic_deform=1, elastic_deform_scale=(0.2, 0.2), elastic_deform_magnitude=(3, 3)
    )

    def deform(image_CIJK: Any, label_IJK: Any) -> tuple[Any, Any]:
        given = {
            "image": torch.from_numpy(image_CIJK),
            "segmentation": torch.from_numpy(label_IJK.astype(np.int16))[None],
        }
        made = transform(**given)
        return made["image"].numpy(), made["segmentation"][0].numpy()

    return deform


def _torchio(edge: int) -> Any:
    import torchio

    transform = torchio.RandomElasticDeformation(num_control_points=max(4, edge // 32 + 3), max_displacement=5.2)

    def deform(image_CIJK: Any, label_IJK: Any) -> tuple[Any, Any]:
        subject = torchio.Subject(
            image=torchio.ScalarImage(tensor=torch.from_numpy(image_CIJK)),
            label=torchio.LabelMap(tensor=torch.from_numpy(label_IJK)[None]),
        )
        made = transform(subject)
        return made.image.data.numpy(), made.label.data[0].numpy()

    return deform


def _monai(edge: int) -> Any:
    from monai.transforms import Rand3DElasticd

    transform = Rand3DElasticd(
        keys=["image", "label"], sigma_range=(8, 8), magnitude_range=(100, 100), prob=1, mode=["bilinear", "nearest"]
    )

    def deform(image_CIJK: Any, label_IJK: Any) -> tuple[Any, Any]:
        made = transform({"image": image_CIJK, "label": label_IJK[None]})
        return np.asarray(made["image"]), np.asarray(made["label"][0])

    return deform
