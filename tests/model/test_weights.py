"""Weights are stored as reproducible safetensors bytes and loaded only into an equal network."""

import hashlib

import pytest
import torch
from safetensors.torch import load

from lesionlab.errors import TransferError
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import load_weights, sha256_of, weights_bytes
from storage_schemas.models import Architecture

SMALL = Architecture(depth=2, base_channels=4, norm="batch")


def test_weights_and_buffers_survive_a_round_trip():
    trained = build_unet(SMALL, 1, seed=0)
    trained(torch.randn(2, 1, 8, 8, 8))  # updates the running statistics of batch normalisation
    copy = build_unet(SMALL, 1, seed=1)
    load_weights(copy, weights_bytes(trained))
    assert all(
        torch.equal(a, b) for a, b in zip(trained.state_dict().values(), copy.state_dict().values(), strict=True)
    )
    assert weights_bytes(copy) == weights_bytes(trained)


def test_any_safetensors_reader_can_read_the_weights():
    network = build_unet(SMALL, 1, seed=0)
    assert load(weights_bytes(network)).keys() == network.state_dict().keys()


def test_weights_of_another_width_are_refused_and_names_and_shapes_are_listed():
    wide = weights_bytes(build_unet(SMALL.model_copy(update={"base_channels": 8}), 1, seed=0))
    with pytest.raises(TransferError, match=r"entry\.conv1\.weight: wanted \(4, 1, 3, 3, 3\), found \(8, 1, 3, 3, 3\)"):
        load_weights(build_unet(SMALL, 1, seed=0), wide)


def test_bytes_that_are_not_a_safetensors_file_are_refused():
    with pytest.raises(TransferError, match="found 4 other bytes"):
        load_weights(build_unet(SMALL, 1, seed=0), b"junk")


def test_the_sha256_is_the_one_of_hashlib():
    assert sha256_of(b"weights") == hashlib.sha256(b"weights").hexdigest()
