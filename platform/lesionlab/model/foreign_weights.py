"""Read weights that another program wrote and fit them into a network: every tensor, or nothing.

Shapes: B batch, C channel, I J K voxel axes.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from lesionlab.atomic import read_whole
from lesionlab.errors import InputError, TransferError
from lesionlab.model.transfer import shape_text
from lesionlab.model.unet import LESION, UNet
from lesionlab.model.weights import unusable
from storage_schemas.models import TensorTransfer

EQUAL = 1e-4
"""Largest difference of lesion probabilities up to which two implementations of a network are taken for equal. Other
orders of summation change them by about 1e-6; another activation or normalisation changes them by far more."""

_IN_BUNDLE = ("models/model.safetensors", "models/model.pt")
_WRAPPERS = ("state_dict", "model", "net")
_SHOWN = 8


def weights_file(path: Path) -> Path:
    """The file with the weights: the path itself, or that of a MONAI bundle directory. Raises InputError."""
    if not path.is_dir():
        return path
    if not (path / "configs" / "metadata.json").is_file():
        raise InputError(f"{path}: wanted a MONAI bundle (configs/metadata.json), found another folder")
    found = [path / name for name in _IN_BUNDLE if (path / name).is_file()]
    if not found:
        raise InputError(f"{path}: wanted weights at {' or '.join(_IN_BUNDLE)}, found neither")
    return found[0]


def read_foreign(path: Path) -> tuple[bytes, dict[str, Tensor]]:
    """The bytes of a weights file and its tensors by name; nothing in it is executed.

    safetensors, or what torch.save wrote (.pt, .pth), of which only tensors are accepted. Raises InputError.
    """
    try:
        data = read_whole(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file of weights or a bundle") from error
    if path.suffix == ".safetensors":
        try:
            return data, safetensors.torch.load(data)
        except SafetensorError as error:
            raise InputError(f"{path}: wanted a safetensors file, found {len(data)} other bytes: {error}") from error
    if path.suffix in (".pt", ".pth"):
        return data, _torch_tensors(path)
    raise InputError(f"{path}: wanted .safetensors, .pt, .pth or the folder of a MONAI bundle")


def _torch_tensors(path: Path) -> dict[str, Tensor]:
    safe = "a file that torch.load reads with weights_only=True; save the state_dict alone, best as safetensors"
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: refused, because reading it would run code that it contains: wanted {safe}"
        ) from error
    except Exception as error:  # damaged archives raise errors of many kinds
        raise InputError(f"{path}: cannot be read ({type(error).__name__}): wanted {safe}") from error
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise InputError(
            f"{path}: wanted tensors by name, found something else beside or instead of them; wanted {safe}"
        )
    return {str(name): tensor for name, tensor in content.items()}


def load_foreign(network: UNet, tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> tuple[TensorTransfer, ...]:
    """Load all tensors into the network by a tensor map; return the weight-transfer report.

    Raises TransferError with every fault: a tensor of the network without a source, one of the file that none takes or
    that two take, another shape or dtype, numbers that are not finite, an entry of the map that names nothing. The
    network is unchanged then.
    """
    wanted = network.state_dict()
    source_of = {name: _mapped(name, names) for name in wanted}
    faults = [
        f"{own}: wanted {theirs} in the file, found no such tensor"
        for own, theirs in source_of.items()
        if theirs not in tensors
    ]
    takers: dict[str, list[str]] = {}
    for own, theirs in source_of.items():
        takers.setdefault(theirs, []).append(own)
    faults += [f"{theirs}: taken by {' and '.join(own)}" for theirs, own in takers.items() if len(own) > 1]
    faults += [f"{theirs}: no tensor of the network takes it" for theirs in tensors if theirs not in takers]
    faults += [
        f"{name!r}: the tensor map names it, the network has no such tensor"
        for name in names
        if not _names_any(name, wanted)
    ]
    fitted = {own: tensors[theirs] for own, theirs in source_of.items() if theirs in tensors}
    for own, tensor in fitted.items():
        for what, found, right in (
            ("shape", shape_text(tensor), shape_text(wanted[own])),
            ("dtype", str(tensor.dtype), str(wanted[own].dtype)),
        ):
            if found != right:
                faults.append(f"{own}: wanted {what} {right}, found {found}")
    faults += [] if faults else unusable(fitted, network)
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise TransferError(
            f"{len(faults)} faults, nothing was imported: {'; '.join(faults[:_SHOWN])}{more}; "
            f"{_advice(tensors, wanted)}"
        )
    network.load_state_dict(fitted)
    return tuple(
        TensorTransfer(
            tensor=own,
            shape=shape_text(tensor),
            origin="source",
            how="copied" if source_of[own] == own else f"copied from {source_of[own]}",
        )
        for own, tensor in fitted.items()
    )


def _advice(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    found, own = (Counter(map(shape_text, each.values())) for each in (tensors, wanted))
    if found == own:
        return "the shapes are this network's: correct tensors in the card"
    return (
        "the shapes are not this network's: correct architecture in the card; a network of another layout, such as "
        "MONAI's UNet or nnU-Net's, cannot be imported"
    )


def _mapped(name: str, names: Mapping[str, str]) -> str:
    if name in names:
        return names[name]
    beginning = max((b for b in names if _is_beginning(b) and name.startswith(b)), key=len, default=None)
    return name if beginning is None else names[beginning] + name.removeprefix(beginning)


def _is_beginning(name: str) -> bool:
    return not name or name.endswith(".")


def _names_any(name: str, wanted: Mapping[str, Tensor]) -> bool:
    return name in wanted or (_is_beginning(name) and any(own.startswith(name) for own in wanted))


def difference_from(network: UNet, path: Path) -> float:
    """Largest difference of lesion probabilities from an original's answer, in a safetensors file with its input
    (`image`: B, C, I, J, K) and output (`logits`: B, 2, I, J, K).

    Raises InputError if the file has no such tensors, TransferError if the difference is above EQUAL.
    """
    _, found = read_foreign(path)
    if found.keys() != {"image", "logits"}:
        raise InputError(f"{path}: wanted the tensors image and logits, found {', '.join(found) or 'none'}")
    try:
        with torch.inference_mode():
            own_BCIJK = torch.softmax(network.eval()(found["image"]), dim=1)[:, LESION]
        difference = float((own_BCIJK - torch.softmax(found["logits"], dim=1)[:, LESION]).abs().max())
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path}: image or logits do not fit the network: {error}") from error
    if not difference <= EQUAL:
        raise TransferError(
            f"{path}: wanted the original's probabilities within {EQUAL:g}, found a difference of {difference:.3g}: "
            "the weights fit, but the original computes something else with them, so nothing was imported"
        )
    return difference
