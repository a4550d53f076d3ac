"""Write a registered model for other programs: an ONNX file, or a MONAI bundle; run what was written, and compare.

Shapes: B batch, C channel, I J K voxel axes.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lesionlab.errors import InputError, TransferError
from lesionlab.model.foreign_weights import EQUAL
from storage_schemas.models import ModelCard

DRAWN = 2
"""Inputs on which the exported model is compared: two batches tell one in which the batch was fixed."""

NOTICE = "A research model: not validated for clinical use, not a medical device."


def onnx_bytes(network: nn.Module, card: ModelCard) -> bytes:
    """The network as ONNX: `image` (batch, channels, patch, patch, patch) in, `logits` of background and lesion out.

    The card's facts are in its metadata. Raises InputError if the libraries are missing, TransferError if the written
    file does not answer as the network does.
    """
    onnx, runtime = _needed("onnx"), _needed("onnxruntime")
    _needed("onnxscript")  # torch's exporter uses it
    image_BCIJK = _drawn_input(card)
    program = _quietly(
        lambda: torch.onnx.export(
            network.cpu().eval(),
            (image_BCIJK,),
            dynamo=True,
            verbose=False,
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    )
    written = io.BytesIO()
    program.save(written)
    model = onnx.load_from_string(written.getvalue())
    for name, value in _facts(card).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, value if isinstance(value, str) else json.dumps(value)
    data: bytes = model.SerializeToString()
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    _compare(network, card, lambda x: torch.from_numpy(session.run(["logits"], {"image": x.numpy()})[0]))
    return data


def bundle_files(network: nn.Module, card: ModelCard) -> dict[str, bytes]:
    """The files of a MONAI bundle by path; `scripts/network.py` defines the network in plain PyTorch."""
    weights = io.BytesIO()
    torch.save({name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}, weights)
    definition = files("lesionlab.model").joinpath("standalone_unet.py").read_bytes()
    documents = {"configs/metadata.json": _metadata(card), "configs/inference.json": _inference(card)}
    return {
        **{name: (json.dumps(content, indent=2) + "\n").encode() for name, content in documents.items()},
        "models/model.pt": weights.getvalue(),
        "scripts/__init__.py": b"",
        "scripts/network.py": definition,
        "docs/README.md": _readme(card).encode(),
    }


def check_bundle(folder: Path, network: nn.Module, card: ModelCard) -> None:
    """Load a written bundle as another program would, without lesionlab, and compare it with the network.

    Raises TransferError if it does not answer as the network does.
    """
    spec = spec_from_file_location("exported_network", folder / "scripts" / "network.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    exported = module.build(**_network_arguments(card))
    exported.load_state_dict(torch.load(folder / "models" / "model.pt", map_location="cpu", weights_only=True))
    _compare(network, card, exported.eval())


def _compare(network: nn.Module, card: ModelCard, exported: Callable[[Tensor], Tensor]) -> None:
    image_BCIJK = _drawn_input(card)
    with torch.inference_mode():
        own, other = (torch.softmax(f(image_BCIJK), dim=1) for f in (network.cpu().eval(), exported))
    difference = float((own - other).abs().max())
    if not difference <= EQUAL:
        raise TransferError(
            f"model {card.full_name}: wanted the exported model's probabilities within {EQUAL:g} of its own, found a "
            f"difference of {difference:.3g} on a drawn input; nothing was exported"
        )


def _drawn_input(card: ModelCard) -> Tensor:
    edge = card.patch_voxels
    generator = torch.Generator().manual_seed(0)
    return torch.randn((DRAWN, len(card.channels), edge, edge, edge), generator=generator)


def _needed(library: str) -> Any:
    try:
        return import_module(library)
    except ImportError as error:
        raise InputError(f"--to onnx: needs {library}, which is missing; pip install 'lesionlab[export]'") from error


def _quietly(call: Callable[[], Any]) -> Any:
    """Without the progress that torch's exporter prints and logs."""
    logger, out = logging.getLogger("torch.onnx"), sys.stdout
    before, sys.stdout = logger.level, io.StringIO()
    logger.setLevel(logging.ERROR)
    try:
        return call()
    finally:
        sys.stdout = out
        logger.setLevel(before)


def _network_arguments(card: ModelCard) -> dict[str, Any]:
    return {
        "architecture": card.architecture.model_dump(mode="json"),
        "channels": len(card.channels),
        "networks": len(card.members),
    }


def _facts(card: ModelCard) -> dict[str, Any]:
    """What a user of the exported model must know."""
    return {
        "lesionlab_model": card.full_name,
        "weights_sha256": card.weights_sha256,
        "task": card.task.title,
        "channels": list(card.channels),
        "spacing_mm": card.spacing_mm,
        "patch_voxels": card.patch_voxels,
        "step_voxels": card.inference.step_voxels,
        "threshold": card.inference.threshold,
        "skull": card.strip or "not declared",
        "trained_on": f"{card.training_studies or 'an unknown number of'} studies of {card.cohort}",
        "started_from": card.started_from,
        "intensities": "each image: zero mean, unit SD over the head; isotropic grid, axes RAS",
        "output": "logits of background and lesion; softmax gives probabilities",
        "notice": NOTICE,
    }


def _metadata(card: ModelCard) -> dict[str, Any]:
    edge = card.patch_voxels
    image = {"type": "image", "format": "magnitude", "modality": "MR", "num_channels": len(card.channels)}
    patch = {"spatial_shape": [edge] * 3, "dtype": "float32", "value_range": [], "is_patch_data": True}
    return {
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported from lesionlab model {card.full_name}"},
        "monai_version": "1.5.0",
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": "2.0.0",
        "required_packages_version": {"nibabel": "5.3.0", "pytorch-ignite": "0.5.0"},
        "task": card.task.title,
        "description": f"3-D U-Net for {card.task.title}, {max(1, len(card.members))} network(s). {NOTICE}",
        "authors": "lesionlab",
        "copyright": "the sites whose studies it was trained on",
        "intended_use": NOTICE,
        "network_data_format": {
            "inputs": {"image": image | patch | {"channel_def": dict(enumerate(card.channels))}},
            "outputs": {
                "pred": image
                | patch
                | {"format": "segmentation", "num_channels": 2, "channel_def": {0: "background", 1: "lesion"}}
            },
        },
        "lesionlab": _facts(card),
    }


def _inference(card: ModelCard) -> dict[str, Any]:
    """Sliding windows as lesionlab uses them; reading, orientation and z-score by MONAI's transforms."""
    edge = card.patch_voxels
    keys = list(card.channels)
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "inputs": [{name: f"{name}.nii.gz" for name in keys}],
        "network_def": {"_target_": "scripts.network.build", **_network_arguments(card)},
        "weights": "$torch.load(@bundle_root + '/models/model.pt', map_location='cpu', weights_only=True)",
        "load": "$@network_def.load_state_dict(@weights)",
        "network": "$@network_def.to(@device).eval()",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": keys, "ensure_channel_first": True},
                {"_target_": "Orientationd", "keys": keys, "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": keys, "pixdim": [card.spacing_mm] * 3, "mode": "bilinear"},
                {"_target_": "NormalizeIntensityd", "keys": keys, "nonzero": True},
                {"_target_": "ConcatItemsd", "keys": keys, "name": "image"},
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [edge] * 3,
            "sw_batch_size": 1,
            "overlap": round(1 - card.inference.step_voxels / edge, 6),
            "mode": "constant",
        },
        "threshold": card.inference.threshold,
        "predict": "$lambda item: (@inferer(@preprocessing(item)['image'][None].to(@device), @network).softmax(1)[:, 1]"
        " >= @threshold)",
        "run": ["$@load", "$[@predict(item) for item in @inputs]"],
    }


def _readme(card: ModelCard) -> str:
    told = "\n".join(f"* {name}: {value}" for name, value in _facts(card).items())
    return f"""# {card.full_name}

{NOTICE}

{told}

`scripts/network.py` defines the network, `models/model.pt` has its weights (tensors only). At export both were run and
their probabilities compared with lesionlab's on a drawn input: they agree within {EQUAL:g}.

`configs/inference.json` reads, orients, resamples and z-scores with MONAI's transforms. These are not lesionlab's own:
it registers several images of a study, and takes mean and SD over the head, found as the largest bright component,
while `NormalizeIntensityd` takes all voxels that are not 0. Expect small differences on whole scans. Images must come
with the skull in the state named above.
"""
