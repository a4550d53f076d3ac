"""Patches for training: from copies of the head that are deformed once, and deformed one by one, as peers do it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import grid_sample

from lesionlab.training.augmented import open_augmented
from lesionlab.training.copies import DrawnPatch, epoch_patches
from lesionlab.training.feed import load
from storage_schemas.runs import Elastic, RunSpec
from tests.benchmarks.frame import Contender, Row, absent, cpu_seconds
from tests.training.drawn import DrawnStudy, draw_study, make_run

CPU = torch.device("cpu")
BATCH = 4


def rows(*, tiny: bool) -> Iterator[Row]:
    """A batch from copies that are there, the first batch with its copies, and batches that are deformed anew."""
    edge, patch = (24, 8) if tiny else (160, 96)
    study = draw_study(1, edge=edge)
    # A drawn study has voxels of 2 mm; in voxels these are the paper's 32 and 3 mm at 1 mm.
    settings = {"patch_voxels": patch, "patches_per_study": BATCH, "augmentations": 1, "batch_size": BATCH}
    run = make_run([study], **settings, elastic=Elastic(control_spacing_mm=64, sd_mm=6))
    with tempfile.TemporaryDirectory(prefix="lesionlab-bench-") as folder:
        copies = [open_augmented(study, study.entry.volume, 0, run.training, 0, Path(folder))]
        patches = epoch_patches(run, 0, copies)

        def again() -> Any:
            return load(patches, run.training, CPU)

        def first() -> Any:
            with tempfile.TemporaryDirectory(prefix="lesionlab-bench-") as own:
                return load(
                    epoch_patches(run, 0, [open_augmented(study, study.entry.volume, 0, run.training, 0, Path(own))]),
                    run.training,
                    CPU,
                )

        yield _row(f"batch of {BATCH}", again, patches, patch, tiny)
        yield _row(f"first batch of {BATCH}, one study, one copy", first, patches, patch, tiny)
        for channels in (1, 2):
            wide = replace(study, image_CIJK=np.repeat(study.image_CIJK, channels, axis=0))
            yield _anew(wide, run, Path(folder) / str(channels), tiny)


def _anew(study: DrawnStudy, run: RunSpec, cache: Path, tiny: bool) -> Row:
    """Batches whose patches are each deformed by a displacement of their own, as peers do it."""
    training = run.training.model_copy(update={"augmentation": "every-patch"})
    run, edge = run.changed(training=training), training.patch_voxels
    copies, epochs = [open_augmented(study, study.entry.volume, 0, training, 0, cache)], count()

    def ours() -> Any:
        return load(epoch_patches(run, next(epochs), copies), training, CPU)

    patches = epoch_patches(run, 0, copies)
    image_BCIJK, label_BIJK = load(patches, training, CPU)
    regular_V3 = torch.cartesian_prod(*[torch.linspace(-1, 1, edge)] * 3).flip(-1)
    places_BIJKA = regular_V3.reshape(1, edge, edge, edge, 3) + 0.05 * torch.rand(BATCH, 1, 1, 1, 3)

    def interpolated() -> Any:
        label_B1IJK = label_BIJK[:, None].float()
        return (
            grid_sample(image_BCIJK, places_BIJKA, "bilinear", "border", align_corners=True),
            grid_sample(label_B1IJK, places_BIJKA, "nearest", "zeros", align_corners=True),
        )

    bound_s = min(cpu_seconds(interpolated) for _ in range(3))
    work = f"batch of {BATCH}, channels: {len(study.image_CIJK)}, each patch deformed anew"
    return _row(work, ours, patches, edge, tiny, bound_s)


def _row(
    work: str, ours: Callable[[], Any], patches: list[DrawnPatch], edge: int, tiny: bool, bound_s: float | None = None
) -> Row:
    peers, missing = _peers(patches, edge, tiny)

    def check() -> str:
        image_BCIJK, label_BIJK = ours()
        for one in peers:
            image, label = one.work()  # type: ignore[misc]
            assert image.shape == image_BCIJK.shape, f"{one.name}: images of {tuple(image.shape)}"
            assert label.shape == label_BIJK.shape, f"{one.name}: labels of {tuple(label.shape)}"
            assert {*np.unique(label).tolist()} <= {0, 1}, f"{one.name}: labels that are none"
        return f"{BATCH} patches of {edge}³, float32, labels 0 and 1; random displacements of 3 voxels SD or as near"

    contenders, runs = [Contender("lesionlab", ours), *peers], 1 if tiny else 2
    bound = "torch's interpolation of image and label alone"
    return Row("patches", work, contenders, check, bound_s, bound if bound_s else "", missing=missing, runs=runs)


def _peers(patches: list[DrawnPatch], edge: int, tiny: bool) -> tuple[list[Contender], tuple[str, ...]]:
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


def _box(patch: DrawnPatch, edge: int) -> tuple[slice, ...]:
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
