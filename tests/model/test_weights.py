"""Weights travel as safetensors: the same bytes every time, and nothing but the same network takes them."""

import hashlib

import pytest
import torch
from safetensors.torch import load

from lesionlab.errors import TransferError
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import load_weights, sha256_of, weights_bytes
from storage_schemas.models import Architecture

SMALL = Architecture(depth=2, base_channels=4, norm="batch")


def test_weights_survive_the_round_trip_buffers_included():
    trained = build_unet(SMALL, 1, seed=0)
    trained(torch.randn(2, 1, 8, 8, 8))  # moves the running statistics of batch normalisation
    copy = build_unet(SMALL, 1, seed=1)
    load_weights(copy, weights_bytes(trained))
    assert all(
        torch.equal(a, b) for a, b in zip(trained.state_dict().values(), copy.state_dict().values(), strict=True)
    )
    assert weights_bytes(copy) == weights_bytes(trained)


def test_any_safetensors_reader_reads_them():
    network = build_unet(SMALL, 1, seed=0)
    assert load(weights_bytes(network)).keys() == network.state_dict().keys()


def test_weights_of_another_width_are_refused_by_name_and_shape():
    wide = weights_bytes(build_unet(SMALL.model_copy(update={"base_channels": 8}), 1, seed=0))
    with pytest.raises(TransferError, match=r"entry\.conv1\.weight: wanted \(4, 1, 3, 3, 3\), found \(8, 1, 3, 3, 3\)"):
        load_weights(build_unet(SMALL, 1, seed=0), wide)


def test_bytes_that_are_no_weights_are_refused():
    with pytest.raises(TransferError, match="found 4 bytes that are none"):
        load_weights(build_unet(SMALL, 1, seed=0), b"junk")


def test_sha256_is_the_one_that_any_tool_computes():
    assert sha256_of(b"weights") == hashlib.sha256(b"weights").hexdigest()
