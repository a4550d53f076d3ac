"""Other viewers open what is stored: study volumes and predictions are images of OME-Zarr 0.5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from lesionlab.store.arrays import read_attributes, write_group
from lesionlab.store.objects import Store, open_store
from storage_schemas.ome import OME_ATTRIBUTE, ome_image
from storage_schemas.volumes import Grid

OBLIQUE = Grid(
    shape=(4, 5, 6),
    affine=((0.8, -0.9, 0.0, -10.0), (0.6, 1.2, 0.0, 20.0), (0.0, 0.0, 3.0, 5.0), (0.0, 0.0, 0.0, 1.0)),
)
"""Voxels of 1 × 1.5 × 3 mm, turned about the third axis."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "store").as_uri())


@pytest.fixture(params=[4, 3], ids=["volume", "mask"])
def group(store: Store, tmp_path: Path, request: pytest.FixtureRequest) -> zarr.Group:
    axes = request.param
    shape = (2, 4, 5, 6) if axes == 4 else (4, 5, 6)
    arrays = {"image": np.zeros(shape, np.float16), "native_label": np.zeros((7, 8, 9), np.uint8)}
    write_group(store, "studies/a/x.zarr", arrays, {OME_ATTRIBUTE: ome_image("sub-1", "image", axes, OBLIQUE)})
    return zarr.open_group(tmp_path / "store" / "studies" / "a" / "x.zarr", mode="r")


def test_each_array_names_its_axes_as_the_image_does(group: zarr.Group) -> None:
    ome: Any = group.attrs["ome"]
    image, label = group["image"], group["native_label"]
    assert isinstance(image, zarr.Array)
    assert isinstance(label, zarr.Array)
    (multiscale,) = ome["multiscales"]
    assert list(image.metadata.to_dict()["dimension_names"]) == [axis["name"] for axis in multiscale["axes"]]
    assert list(label.metadata.to_dict()["dimension_names"]) == ["x", "y", "z"]


def test_scale_and_translation_are_the_spacing_and_the_first_voxel_in_mm(group: zarr.Group) -> None:
    ome: Any = group.attrs["ome"]
    ((data,),) = [multiscale["datasets"] for multiscale in ome["multiscales"]]
    scale, translation = data["coordinateTransformations"]
    assert scale["scale"][-3:] == pytest.approx([1.0, 1.5, 3.0])
    assert translation["translation"][-3:] == [-10.0, 20.0, 5.0]
    assert scale["scale"][:-3] == [1.0] * (len(scale["scale"]) - 3)
    assert len(scale["scale"]) == len(translation["translation"]) == group[data["path"]].ndim


def test_the_validator_of_ome_zarr_accepts_it(group: zarr.Group) -> None:
    models = pytest.importorskip("ome_zarr_models.v05", reason="ome-zarr-models is not installed")
    image = models.Image.from_zarr(group)
    assert image.ome_attributes.multiscales[0].datasets[0].path == "image"


def test_our_own_attributes_stay_beside_it(store: Store, group: zarr.Group) -> None:
    assert set(read_attributes(store, "studies/a/x.zarr")) == {"ome"}
