"""Save a registered model for other programs."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from jobs.shared.output_file import refuse_existing, save_output
from lesionlab.errors import InputError
from lesionlab.evaluation.registered_network import registered_network
from lesionlab.model.exchange import bundle_files, check_bundle, onnx_bytes
from lesionlab.store.objects import Store
from storage_schemas.models import ModelCard


def save_onnx(store: Store, model: str, out: Path) -> ModelCard:
    """One ONNX file, compared with the model before it is written. Raises InputError, TransferError."""
    network, card = registered_network(store, model)
    save_output("--out", out, onnx_bytes(network, card))
    return card


def save_bundle(store: Store, model: str, out: Path) -> ModelCard:
    """The folder of a MONAI bundle, which must not exist; it appears whole and compared, or not at all.

    Raises InputError, TransferError.
    """
    refuse_existing("--out", out)
    network, card = registered_network(store, model)
    draft = out.with_name(f".{secrets.token_hex(8)}.draft")
    try:
        for name, data in bundle_files(network, card).items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        check_bundle(draft, network, card)
        draft.rename(out)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); choose another folder") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return card
