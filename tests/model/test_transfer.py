"""Fine-tuning starts from exactly the registered weights, says so tensor by tensor, or stops."""

import pytest
import safetensors.torch
import torch

from lesionlab.errors import TransferError
from lesionlab.model.transfer import adopt, fresh_receipt
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import sha256_of, weights_bytes
from storage_schemas.models import Architecture, InferenceConfig, ModelCard

SMALL = Architecture(depth=2, base_channels=4)
FLAIR = ("flair",)


def card_of(weights, **changes):
    fields = {
        "name": "glioma",
        "version": "0123456789abcdef",
        "task": "flair-single",
        "architecture": SMALL,
        "channels": FLAIR,
        "spacing_mm": 1.0,
        "patch_voxels": 96,
        "inference": InferenceConfig(),
        "weights_sha256": sha256_of(weights),
        "cohort": "glioma",
        "training_studies": 3,
    }
    return ModelCard(**fields | changes)


@pytest.fixture
def source():
    return build_unet(SMALL, 1, seed=5)


@pytest.fixture
def network():
    return build_unet(SMALL, 1, seed=6)


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_the_network_has_the_sources_weights_and_a_receipt_for_each(norm):
    architecture = SMALL.model_copy(update={"norm": norm})
    source, network = (build_unet(architecture, 1, seed) for seed in (5, 6))
    weights = weights_bytes(source)
    receipt = adopt(network, card_of(weights, architecture=architecture), weights, FLAIR)
    assert weights_bytes(network) == weights
    assert [row.tensor for row in receipt] == list(network.state_dict())
    assert {row.origin for row in receipt} == {"source"}
    assert receipt[0].shape == "4x1x3x3x3"


def test_altered_weights_are_refused_and_the_network_keeps_its_own(source, network):
    weights, own = weights_bytes(source), weights_bytes(network)
    altered = weights[:-1] + bytes([weights[-1] ^ 1])
    with pytest.raises(TransferError, match=r"glioma/0123456789abcdef: weights were altered"):
        adopt(network, card_of(weights), altered, FLAIR)
    assert weights_bytes(network) == own


def test_missing_weights_are_refused(network):
    with pytest.raises(TransferError, match="wanted weights, found none"):
        adopt(network, card_of(b""), b"", FLAIR)


def test_weights_of_which_none_is_used_are_refused(network):
    weights = safetensors.torch.save({"other.weight": torch.zeros(3)})
    with pytest.raises(TransferError, match="none of its tensors was used"):
        adopt(network, card_of(weights), weights, FLAIR)


def test_weights_that_lack_one_tensor_are_refused_by_its_name(source, network):
    tensors = source.state_dict()
    del tensors["head.bias"]
    weights = safetensors.torch.save(tensors)
    with pytest.raises(TransferError, match=r"1 of \d+ tensors are missing; the network wants head\.bias"):
        adopt(network, card_of(weights), weights, FLAIR)


def test_a_source_of_other_architecture_or_channels_is_refused_with_all_that_differs(source, network):
    weights = weights_bytes(source)
    card = card_of(weights, architecture=Architecture(depth=3, base_channels=4, norm="group"), channels=("t1w",))
    with pytest.raises(TransferError) as refusal:
        adopt(network, card, weights, FLAIR)
    for difference in ("depth: wanted 2, found 3", "norm: wanted instance, found group", "wanted flair; found t1w"):
        assert difference in str(refusal.value)


def test_a_network_that_adopts_nothing_says_so_of_each_tensor(network):
    receipt = fresh_receipt(network)
    assert [row.tensor for row in receipt] == list(network.state_dict())
    assert {row.origin for row in receipt} == {"fresh"}
