"""Register weights that were trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.console import console, notes
from jobs.shared.decisions_output import note_origin
from jobs.shared.entry_points import run_as_module
from jobs.shared.importing import import_model
from jobs.shared.options import StoreOption, connect


def import_(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="WEIGHTS", help="A .safetensors file, a .pt file of tensors, or the folder of a MONAI bundle."
        ),
    ],
    card: Annotated[
        Path, typer.Option(metavar="FILE", help="What the weights are (YAML); the manual explains every key.")
    ],
    store: StoreOption,
    probe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="safetensors file with an input (image) and the original's output (logits): the imported network must "
            "answer the same.",
        ),
    ] = None,
) -> None:
    """Register weights that were trained elsewhere, as a candidate of a named model.

    Every tensor of the file must fill one of the network's, with its shape and
    type; otherwise nothing is imported. No pickle is executed. The card declares
    training patients and ancestry, and whatever uses the model says so, because
    nobody here can check them.

    Example: lesionlab import unet.safetensors --card unet.yaml --probe probe.safetensors
    """
    place = connect(store, "models/")
    found, tensors = import_model(place, weights, card, probe)
    console.print(f"imported {found.full_name}: {tensors} tensors, all from {weights.name}")
    note_origin(place, found)
    if probe is None:
        notes.print(
            "whether the network answers as the original does was not checked (--probe): equal shapes do not prove "
            "equal activations",
            style="yellow",
        )


if __name__ == "__main__":
    run_as_module(import_)
