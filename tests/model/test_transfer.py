"""Fine-tuning starts from exactly the registered weights and reports the origin of every tensor, or it is refused."""

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionlab.errors import TransferError
from lesionlab.model.transfer import load_pretrained, random_start
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import sha256_of, weights_bytes
from storage_schemas.models import Adaptation, Architecture, ChannelOrigin, InferenceConfig, ModelCard
from storage_schemas.tasks import TASKS

SMALL = Architecture(depth=2, base_channels=4)
FLAIR = ("flair",)


def card_of(weights, **changes):
    fields = {
        "name": "glioma",
        "version": "0123456789abcdef",
        "task": TASKS["flair-single"],
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
def test_all_weights_are_loaded_and_reported_as_from_the_source(norm):
    architecture = SMALL.model_copy(update={"norm": norm})
    source, network = (build_unet(architecture, 1, seed) for seed in (5, 6))
    weights = weights_bytes(source)
    transfers = load_pretrained(network, card_of(weights, architecture=architecture), weights, FLAIR)
    assert weights_bytes(network) == weights
    assert [row.tensor for row in transfers] == list(network.state_dict())
    assert {row.origin for row in transfers} == {"source"}
    assert transfers[0].shape == "4x1x3x3x3"


def test_altered_weights_are_refused_and_the_network_keeps_its_own(source, network):
    weights, own = weights_bytes(source), weights_bytes(network)
    altered = weights[:-1] + bytes([weights[-1] ^ 1])
    with pytest.raises(TransferError, match=r"glioma/0123456789abcdef: weights were altered"):
        load_pretrained(network, card_of(weights), altered, FLAIR)
    assert weights_bytes(network) == own


def test_missing_weights_are_refused(network):
    with pytest.raises(TransferError, match="wanted weights, found none"):
        load_pretrained(network, card_of(b""), b"", FLAIR)


def test_weights_without_any_matching_tensor_are_refused(network):
    weights = safetensors.torch.save({"other.weight": torch.zeros(3)})
    with pytest.raises(TransferError, match="none of its tensors was used"):
        load_pretrained(network, card_of(weights), weights, FLAIR)


def test_weights_that_lack_a_tensor_are_refused_and_the_tensor_is_named(source, network):
    tensors = source.state_dict()
    del tensors["head.bias"]
    weights = safetensors.torch.save(tensors)
    with pytest.raises(TransferError, match=r"1 of \d+ tensors are missing; the network wants head\.bias"):
        load_pretrained(network, card_of(weights), weights, FLAIR)


def test_a_source_of_other_architecture_or_channels_is_refused_and_all_differences_are_named(source, network):
    weights = weights_bytes(source)
    card = card_of(weights, architecture=Architecture(depth=3, base_channels=4, norm="group"), channels=("t1w",))
    with pytest.raises(TransferError) as refusal:
        load_pretrained(network, card, weights, FLAIR)
    for difference in ("depth: wanted 2, found 3", "norm: wanted instance, found group", "wanted flair; found t1w"):
        assert difference in str(refusal.value)


def test_a_randomly_initialised_network_is_reported_as_random(network):
    transfers = random_start(network)
    assert [row.tensor for row in transfers] == list(network.state_dict())
    assert {row.origin for row in transfers} == {"random"}


PAIR = ("before", "after")


def from_channels(**origins):
    return Adaptation(channels={name: ChannelOrigin(**origin) for name, origin in origins.items()})


def trained(architecture, channels, seed=5):
    """A network with random values in every tensor, including the running statistics of batch normalisation."""
    network = build_unet(architecture, channels, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            noise = 0.1 * torch.randn(tensor.shape, generator=generator)
            tensor.copy_(tensor + (noise.abs() if name.endswith("running_var") else noise))
    return network.eval()


def loaded(source, found, channels, adaptation, architecture=None):
    """A network with the weights of `source` loaded, and the weight-transfer report by tensor."""
    network = build_unet(architecture or source.architecture, len(channels), seed=6)
    weights = weights_bytes(source)
    card = card_of(weights, architecture=source.architecture, channels=found)
    transfers = load_pretrained(network, card, weights, channels, adaptation)
    assert [row.tensor for row in transfers] == list(network.state_dict())
    return network.eval(), {row.tensor: row for row in transfers}


def image(channels, seed=0):
    return torch.randn((1, channels, 8, 8, 8), generator=torch.Generator().manual_seed(seed))


def assert_same_answer(network, shown_BCIJK, source, seen_BCIJK):
    with torch.inference_mode():
        torch.testing.assert_close(network(shown_BCIJK), source(seen_BCIJK), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_copies_of_one_channel_with_the_same_image_give_the_sources_output(norm):
    source = trained(SMALL.model_copy(update={"norm": norm}), 1)
    both = from_channels(before={"copy_of": "flair"}, after={"copy_of": "flair"})
    network, transfers = loaded(source, FLAIR, PAIR, both)
    assert_same_answer(network, image(1).expand(-1, 2, -1, -1, -1), source, image(1))
    first = transfers.pop("entry.conv1.weight")
    assert (first.origin, first.how, first.shape) == (
        "adapted",
        "before = 1/2 flair; after = 1/2 flair",
        "4x2x3x3x3",
    )
    assert {(row.origin, row.how) for row in transfers.values()} == {("source", "copied")}


def test_the_mean_of_channels_gives_the_sources_output_for_the_same_image_on_all():
    source = trained(SMALL.model_copy(update={"norm": "batch"}), 2)
    network, transfers = loaded(source, PAIR, ("enhancement",), from_channels(enhancement={"mean_of": PAIR}))
    assert_same_answer(network, image(1), source, image(1).expand(-1, 2, -1, -1, -1))
    assert transfers["entry.conv1.weight"].how == "enhancement = before + after"


def test_a_channel_from_zeros_is_ignored_until_trained():
    source = trained(SMALL, 1)
    network, transfers = loaded(source, FLAIR, PAIR, from_channels(before={"zero": True}, after={"copy_of": "flair"}))
    shown_BCIJK = image(2)
    assert_same_answer(network, shown_BCIJK, source, shown_BCIJK[:, 1:])
    assert transfers["entry.conv1.weight"].how == "before = zero; after = flair"
    network.train()(shown_BCIJK).square().sum().backward()
    assert network.entry.conv1.weight.grad[:, 0].abs().sum() > 0


def test_channels_are_matched_by_name_not_by_position():
    source = trained(SMALL, 2)
    same_names = from_channels(before={"copy_of": "before"}, after={"copy_of": "after"})
    network, transfers = loaded(source, PAIR, PAIR[::-1], same_names)
    shown_BCIJK = image(2)
    assert_same_answer(network, shown_BCIJK, source, shown_BCIJK.flip(1))
    assert transfers["entry.conv1.weight"].origin == "adapted"


def test_an_unused_source_channel_is_reported():
    source = trained(SMALL, 2)
    network, transfers = loaded(source, PAIR, FLAIR, from_channels(flair={"copy_of": "after"}))
    dark_BCIJK = torch.cat([torch.zeros_like(image(1)), image(1)], dim=1)
    assert_same_answer(network, image(1), source, dark_BCIJK)
    assert transfers["entry.conv1.weight"].how == "flair = after; before of the source is not used"


origins = st.one_of(
    st.sampled_from("abc").map(lambda name: ChannelOrigin(copy_of=name)),
    st.lists(st.sampled_from("abc"), min_size=1, unique=True).map(lambda names: ChannelOrigin(mean_of=tuple(names))),
    st.just(ChannelOrigin(zero=True)),
)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.sampled_from("wxyz"), origins, min_size=1))
def test_adapted_weights_keep_the_sum_over_the_source_channels_that_are_used(declared):
    tiny = Architecture(depth=1, base_channels=2)
    source, used = build_unet(tiny, 3, seed=5), {name for origin in declared.values() for name in origin.taken_from}
    if not used:
        with pytest.raises(TransferError, match="wanted at least one origin in the source; found only zeros"):
            loaded(source, tuple("abc"), tuple(declared), Adaptation(channels=declared))
        return
    network, _ = loaded(source, tuple("abc"), tuple(declared), Adaptation(channels=declared))
    wanted = sum(source.entry.conv1.weight[:, "abc".index(name)] for name in used)
    torch.testing.assert_close(network.entry.conv1.weight.sum(dim=1), wanted)


def test_a_reinitialised_head_is_random_and_all_other_tensors_are_the_sources():
    source, own = trained(SMALL, 1), build_unet(SMALL, 1, seed=6).state_dict()
    network, transfers = loaded(source, FLAIR, FLAIR, Adaptation(head="reinitialise"))
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(
            tensor, own[name] if name.startswith("head.") else source.state_dict()[name], rtol=0, atol=0
        )
    random = {name for name, row in transfers.items() if row.origin == "random"}
    assert random == {"head.weight", "head.bias"}


def features_by_level(network, image_BCIJK):
    """Encoder features of an image at each level, from the top."""
    features = [network.entry(image_BCIJK)]
    for down in network.down:
        features.append(down(features[-1]))
    return features


@pytest.mark.parametrize(("found", "wanted"), [(1, 3), (2, 3), (3, 2), (3, 1), (2, 2)])
@pytest.mark.parametrize("upsampling", ["linear", "transposed"])
def test_shared_levels_are_loaded_by_resolution(found, wanted, upsampling):
    def of_depth(depth):
        return Architecture(depth=depth, base_channels=2, upsampling=upsampling, norm="batch")

    source, shared = trained(of_depth(found), 1), min(found, wanted)
    network, transfers = loaded(source, FLAIR, FLAIR, Adaptation(depth="shared-levels"), of_depth(wanted))
    own = build_unet(of_depth(wanted), 1, seed=6).state_dict()

    with torch.inference_mode():
        seen = [features_by_level(one, image(1))[: shared + 1] for one in (network, source)]
    for ours, theirs in zip(*seen, strict=True):
        assert torch.equal(ours, theirs)
    for level in range(shared):  # decoder modules are numbered from the bottom
        for part in ("up", "merge"):
            ours = getattr(network, part)[wanted - 1 - level].state_dict()
            theirs = getattr(source, part)[found - 1 - level].state_dict()
            assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    missing = {
        *(f"down.{level}." for level in range(found, wanted)),
        *(f"{part}.{wanted - 1 - level}." for part in ("up", "merge") for level in range(found, wanted)),
    }
    random = {name for name, row in transfers.items() if row.origin == "random"}
    assert random == {name for name in own if name.startswith(tuple(missing))}
    assert all(torch.equal(network.state_dict()[name], own[name]) for name in random)
    assert {row.origin for name, row in transfers.items() if name not in random} == {"source"}


def test_the_report_names_the_source_level_and_a_changed_input_of_each_tensor():
    deep, shallow = (Architecture(depth=depth, base_channels=2) for depth in (3, 2))
    _, transfers = loaded(trained(shallow, 1), FLAIR, FLAIR, Adaptation(depth="shared-levels"), deep)
    assert transfers["up.0.reduce.weight"].how == "a level that the source, of depth 2, lacks"
    assert transfers["up.1.reduce.weight"].how == "copied from up.0.reduce.weight, but reads features of another kind"
    assert transfers["merge.1.conv1.weight"].how == "copied from merge.0.conv1.weight"
    assert transfers["down.1.block.conv1.weight"].how == "copied"
    _, transfers = loaded(trained(deep, 1), FLAIR, FLAIR, Adaptation(depth="shared-levels"), shallow)
    assert transfers["up.0.reduce.weight"].how == "copied from up.1.reduce.weight, but reads features of another kind"
    assert transfers["up.1.reduce.weight"].how == "copied from up.2.reduce.weight"


def test_a_declaration_that_is_not_needed_changes_nothing():
    source = trained(SMALL, 1)
    not_needed = Adaptation(channels={"flair": ChannelOrigin(copy_of="flair")}, depth="shared-levels")
    network, transfers = loaded(source, FLAIR, FLAIR, not_needed)
    assert weights_bytes(network) == weights_bytes(source)
    assert {(row.origin, row.how) for row in transfers.values()} == {("source", "copied")}


def test_a_channel_with_another_name_is_copied_unchanged_and_reported():
    source = trained(SMALL, 1)
    network, transfers = loaded(source, FLAIR, ("subtraction",), from_channels(subtraction={"copy_of": "flair"}))
    assert weights_bytes(network) == weights_bytes(source)
    assert transfers["entry.conv1.weight"].origin == "source"
    assert transfers["entry.conv1.weight"].how == "copied; subtraction = flair"


@pytest.mark.parametrize(
    ("adaptation", "faults"),
    [
        (
            from_channels(before={"copy_of": "flair"}),
            ["wanted the origin of each of before, after; found before"],
        ),
        (
            from_channels(before={"copy_of": "t2"}, after={"mean_of": ["flair", "t1w"]}, later={"zero": True}),
            ["found before, after, later", "wanted t1w, t2 in the source; found flair"],
        ),
        (Adaptation(head="reinitialise"), ["channels: wanted before, after; found flair"]),
        (Adaptation(depth="shared-levels"), ["channels: wanted before, after; found flair"]),
    ],
)
def test_undeclared_differences_are_refused_and_all_are_named(adaptation, faults):
    source = trained(SMALL.model_copy(update={"upsampling": "transposed"}), 1)
    with pytest.raises(TransferError) as refusal:
        loaded(source, FLAIR, PAIR, adaptation, architecture=SMALL)
    for fault in ("upsampling: wanted linear, found transposed", *faults):
        assert fault in str(refusal.value)


def test_the_weights_must_be_complete_even_if_levels_are_not_used():
    deep, shallow = (Architecture(depth=depth, base_channels=2) for depth in (3, 2))
    tensors = {name: tensor for name, tensor in trained(deep, 1).state_dict().items() if not name.startswith("down.2.")}
    weights = safetensors.torch.save(tensors)
    with pytest.raises(TransferError, match=r"tensors are missing; the network wants down\.2\.halve\.weight"):
        load_pretrained(
            build_unet(shallow, 1, 6),
            card_of(weights, architecture=deep),
            weights,
            FLAIR,
            Adaptation(depth="shared-levels"),
        )
