"""Weights from elsewhere fill a network wholly, or nothing is loaded; an exported network answers as its model does."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from lesionlab.errors import InputError, TransferError
from lesionlab.model.ensemble import Ensemble
from lesionlab.model.exchange import bundle_files, check_bundle, onnx_bytes
from lesionlab.model.foreign_weights import difference_from, load_foreign, read_foreign, weights_file
from lesionlab.model.unet import UNet, build_unet
from lesionlab.model.weights import sha256_of, weights_bytes
from storage_schemas.models import Architecture, InferenceConfig, ModelCard
from storage_schemas.tasks import TASKS

TINY = Architecture(depth=1, base_channels=2)


def network(seed: int = 0, architecture: Architecture = TINY) -> UNet:
    return build_unet(architecture, channels=1, seed=seed)


def tensors(seed: int = 5) -> dict[str, Tensor]:
    return dict(network(seed).state_dict())


def card(architecture: Architecture = TINY, members: tuple[str, ...] = ()) -> ModelCard:
    return ModelCard(
        name="m",
        version="0" * 16,
        task=TASKS["flair-single"],
        architecture=architecture,
        channels=("flair",),
        spacing_mm=1.0,
        patch_voxels=8,
        inference=InferenceConfig(step_voxels=8),
        weights_sha256="0" * 64,
        cohort="c",
        training_studies=1,
        members=members,
    )


def test_mapped_names_are_loaded_and_reported_with_their_source() -> None:
    renamed = {f"module.{name.replace('entry.', 'first.')}": tensor for name, tensor in tensors().items()}
    own = network()
    report = load_foreign(own, renamed, {"entry.": "module.first.", "": "module."})
    assert sha256_of(weights_bytes(own)) == sha256_of(weights_bytes(network(5)))
    assert [row.tensor for row in report] == list(own.state_dict())
    assert {row.origin for row in report} == {"source"}
    assert report[0].how == "copied from module.first.conv1.weight"


def test_a_network_of_another_layout_is_refused_as_that_and_wrong_names_as_wrong_names() -> None:
    monai = {
        "model.0.conv.unit0.conv.weight": torch.zeros(4, 1, 3, 3, 3),
        "model.0.conv.unit0.adn.A.weight": torch.zeros(1),
        "model.2.0.conv.weight": torch.zeros(8, 2, 3, 3, 3),
    }
    with pytest.raises(TransferError, match="a network of another layout, such as MONAI's UNet or nnU-Net's"):
        load_foreign(network(), monai, {})
    renamed = {f"module.{name}": tensor for name, tensor in tensors().items()}
    with pytest.raises(TransferError, match=r"the shapes are this network's: correct tensors in the card"):
        load_foreign(network(), renamed, {})


@pytest.mark.parametrize(
    ("change", "names", "wanted"),
    [
        (lambda t: t.pop("head.bias"), {}, "head.bias: wanted head.bias in the file, found no such tensor"),
        (lambda t: t.update(spare=torch.zeros(1)), {}, "spare: no tensor of the network takes it"),
        (lambda t: t.update({"head.bias": torch.zeros(3)}), {}, "head.bias: wanted shape 2, found 3"),
        (
            lambda t: t.update({"head.bias": torch.zeros(2).half()}),
            {},
            "wanted dtype torch.float32, found torch.float16",
        ),
        (lambda t: t.update({"head.bias": torch.full((2,), torch.nan)}), {}, "head.bias: wanted finite numbers"),
        (lambda t: None, {"tail.": "head."}, "'tail.': the tensor map names it, the network has no such tensor"),
        (
            lambda t: None,
            {"entry.norm1.weight": "entry.norm1.bias"},
            "entry.norm1.bias: taken by entry.norm1.weight and entry.norm1.bias",
        ),
    ],
    ids=["missing", "left over", "shape", "dtype", "nan", "map names nothing", "taken twice"],
)
def test_any_tensor_that_does_not_fit_refuses_all_and_changes_nothing(change, names, wanted) -> None:
    found, own = tensors(), network()
    change(found)
    before = weights_bytes(own)
    with pytest.raises(TransferError) as error:
        load_foreign(own, found, names)
    assert wanted in str(error.value)
    assert weights_bytes(own) == before


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path("trapped"),))


def test_a_pickle_that_would_run_code_is_refused_and_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"head.bias": Trap()}, tmp_path / "torch.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Trap()))
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"epoch": 3, "weights": [1.0]}, tmp_path / "numbers.pth")
    for name in ("torch.pt", "plain.pt", "empty.pt", "numbers.pth", "model.onnx", "missing.pt"):
        with pytest.raises(InputError, match=name):
            read_foreign(tmp_path / name)
    assert not (tmp_path / "trapped").exists()


def test_a_bundle_gives_its_weights_also_wrapped_and_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wanted a MONAI bundle"):
        weights_file(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text("{}")
    with pytest.raises(InputError, match="found neither"):
        weights_file(tmp_path)
    (tmp_path / "models").mkdir()
    torch.save({"state_dict": tensors()}, tmp_path / "models" / "model.pt")
    _, found = read_foreign(weights_file(tmp_path))
    assert found.keys() == tensors().keys()


def test_a_probe_tells_weights_that_fit_from_a_network_that_computes_something_else(tmp_path: Path) -> None:
    image = torch.randn((1, 1, 8, 8, 8), generator=torch.Generator().manual_seed(1))
    for name, of in (("same", network(5)), ("other", network(6))):
        with torch.inference_mode():
            safetensors.torch.save_file({"image": image, "logits": of(image)}, tmp_path / f"{name}.safetensors")
    assert difference_from(network(5), tmp_path / "same.safetensors") < 1e-6
    with pytest.raises(TransferError, match="computes something else"):
        difference_from(network(5), tmp_path / "other.safetensors")
    safetensors.torch.save_file({"image": image}, tmp_path / "half.safetensors")
    with pytest.raises(InputError, match="wanted the tensors image and logits, found image"):
        difference_from(network(5), tmp_path / "half.safetensors")


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize("upsampling", ["transposed", "linear"])
def test_a_bundle_defines_the_same_network_without_lesionlab(norm, upsampling, tmp_path: Path) -> None:
    architecture = Architecture(depth=2, base_channels=2, norm=norm, upsampling=upsampling, encoder_dilation=2)
    own = network(3, architecture)
    files = bundle_files(own, card(architecture))
    assert not re.search(rb"^(from|import) (lesionlab|storage_schemas)", files["scripts/network.py"], re.MULTILINE)
    check_bundle(written(tmp_path, files), own, card(architecture))
    with pytest.raises(TransferError, match="nothing was exported"):
        check_bundle(tmp_path, network(4, architecture), card(architecture))


def test_a_bundle_of_an_ensemble_averages_its_networks(tmp_path: Path) -> None:
    ensemble, described = Ensemble([network(1), network(2)]), card(members=("1" * 16, "2" * 16))
    check_bundle(written(tmp_path, bundle_files(ensemble, described)), ensemble, described)


def test_monai_loads_the_bundle_and_answers_as_the_model_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = pytest.importorskip("monai.bundle")
    own = network(3)
    monkeypatch.chdir(written(tmp_path, bundle_files(own, card())))
    monkeypatch.syspath_prepend(str(tmp_path))
    parser = bundle.ConfigParser()
    parser.read_config("configs/inference.json")
    parser.read_meta("configs/metadata.json")
    parser.get_parsed_content("load")
    image = torch.randn((1, 1, 8, 8, 8))
    with torch.inference_mode():
        theirs = parser.get_parsed_content("inferer")(image, parser.get_parsed_content("network").cpu())
        assert torch.allclose(theirs, own.eval()(image), atol=1e-4)
    assert parser.get_parsed_content("preprocessing") is not None


@pytest.mark.slow
def test_onnx_answers_as_the_model_does_for_any_batch_and_carries_its_card() -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    data = onnx_bytes(Ensemble([network(1), network(2)]), card(members=("1" * 16, "2" * 16)))
    found = {entry.key: entry.value for entry in onnx.load_from_string(data).metadata_props}
    assert found["lesionlab_model"] == card().full_name
    assert "not a medical device" in found["notice"]
