"""Arguments and options that several commands share, and the store that they name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from obstore.store import MemoryStore
from pydantic import TypeAdapter, ValidationError

from jobs.shared.output_file import output_file
from lesionlab.errors import AccessDenied, StoreError
from lesionlab.orchestration.room import Device
from lesionlab.store.objects import Store, folder_of, open_store
from storage_schemas.base import Slug
from storage_schemas.keys import OLDER_STORE

_SLUG = TypeAdapter(Slug)


def plain_name(value: str | None) -> str | None:
    """Callback of arguments that become part of an object key. Raises BadParameter if the value is not a plain name."""
    if value is None:
        return None
    if value.endswith((".yaml", ".yml")):
        raise typer.BadParameter(f"wanted a name in the store, such as a file has under `name:`; found {value!r}")
    try:
        return _SLUG.validate_python(value)
    except ValidationError as error:
        raise typer.BadParameter(f"wanted lower-case letters, digits, '.', '_' or '-'; found {value!r}") from error


def store_uri(value: str) -> str:
    """Callback of `--store`: the URI of a folder; URIs are left as they are, for `open_store` to check."""
    is_uri = not value.strip() or re.match(r"\s*[A-Za-z0-9]+:", value)
    try:
        return value if is_uri else Path(value).expanduser().absolute().as_uri()
    except RuntimeError as error:
        raise typer.BadParameter(f"wanted a folder or a URI; found {value!r}, and there is no such user") from error


SpecArgument = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT",
        help="Experiment file (YAML), or the name of a built-in experiment such as demo; "
        "jobs/specs/example.yaml explains every key.",
    ),
]
ExperimentNameArgument = Annotated[
    str,
    typer.Argument(metavar="EXPERIMENT", callback=plain_name, help="Name of an experiment in the store, such as demo."),
]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="LESIONLAB_STORE",
        metavar="FOLDER|URI",
        callback=store_uri,
        help="Store of volumes, models and results: a folder, file:///folder or s3://bucket/prefix "
        "(endpoint and credentials as for any AWS tool).",
        default_factory=lambda: str(Path(".lesionlab", "store")),
        show_default="./.lesionlab/store",
    ),
]
CacheOption = Annotated[
    Path,
    typer.Option(
        "--cache",
        envvar="LESIONLAB_CACHE",
        metavar="DIR",
        help="Local folder for copies of the training volumes; may be deleted whenever nothing runs.",
        default_factory=lambda: Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lesionlab",
        show_default="~/.cache/lesionlab",
    ),
]
WorkOption = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="Folder for simulated datasets and the report.",
        default_factory=lambda: Path.cwd() / ".lesionlab",
        show_default="./.lesionlab",
    ),
]
BidsOption = Annotated[
    list[str] | None,
    typer.Option("--bids", metavar="NAME=PATH", help="Dataset of one cohort of the experiment; repeat for each."),
]
ExcludeFaultyOption = Annotated[
    bool, typer.Option("--exclude-faulty", help="Exclude studies that fail quality control, and list them.")
]
SavePredictionsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also save every predicted mask in native space to this folder: a BIDS-derivatives dataset that says arm, "
        "size and fold of each.",
    ),
]
CsvOption = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", callback=output_file, help="Save the table with all columns as CSV."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the table with all columns as JSON.")]
ModelArgument = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Registered model: NAME (its champion version) or NAME@VERSION."),
]
ModelOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="Registered model: NAME (its champion version) or NAME@VERSION."),
]
PlainOption = Annotated[
    bool,
    typer.Option("--plain", help="Run in one process on one device, without Ray (for debugging or a single GPU)."),
]
DeviceOption = Annotated[
    Device | None,
    typer.Option(
        envvar="LESIONLAB_DEVICE",
        help="Where to compute: by default this machine's GPU if it has one. A cluster (RAY_ADDRESS) wants it "
        "declared.",
        show_default=False,
    ),
]
SlotsOption = Annotated[
    int | None,
    typer.Option(
        envvar="LESIONLAB_SLOTS",
        metavar="N",
        min=1,
        help="Most runs at once. By default as many as fit, also while nodes come and go.",
        show_default=False,
    ),
]
GpusPerWorkerOption = Annotated[
    float,
    typer.Option(
        envvar="LESIONLAB_GPUS_PER_WORKER",
        metavar="X",
        min=0.05,
        max=1.0,
        help="GPUs of one worker; 0.25 lets four small runs share a GPU.",
    ),
]
WaitOption = Annotated[
    float,
    typer.Option(
        envvar="LESIONLAB_WAIT",
        metavar="MINUTES",
        min=0.0,
        help="Give up if no run could be executed for so long, because the nodes did not come.",
    ),
]
ReplanOption = Annotated[
    bool,
    typer.Option("--replan", help="Plan again if this version gives other results than the one that made the plan."),
]


def connect(uri: str, folder: str = "") -> Store:
    """Open the store and check that it answers below this folder, the one that the command needs; empty: everywhere.

    Raises StoreError that says what to do if it does not, or if an earlier version wrote it.
    """
    store = open_store(uri)
    enter(store.check, folder)
    refuse_older(store, folder)
    return store


def connect_to_read(uri: str) -> Store:
    """As `connect`, for a command that needs what is in the store: a folder that does not exist is not created."""
    if uri.startswith("file:///") and _is_missing(folder_of(uri)):
        return Store(uri, MemoryStore())  # reads as empty, and errors name the folder
    store = open_store(uri)
    enter(store.check_readable, "")
    refuse_older(store)
    return store


DOORS = ("ledger/", "models/")
"""Folders of which every role that may not list all of the store may list one; contributors have their own."""


def enter(check: Callable[[str], None], folder: str) -> None:
    """Check this folder; if it is all of the store and refused, what any role may use. Raises the first refusal."""
    try:
        check(folder)
    except AccessDenied as refused:
        for door in DOORS if not folder else ():
            with suppress(AccessDenied):
                check(door)
                return
        raise refused


def refuse_older(store: Store, folder: str = "") -> None:
    """Raises StoreError if a version before 0.2.0 wrote this store; a role that sees only one folder is not asked."""
    found: list[str] = []
    with suppress(AccessDenied):
        found = [] if folder else store.folders("")
    if OLDER_STORE in found:
        raise StoreError(
            f"{store.uri}: written by a version before 0.2.0, which had no folder for each site; preprocess the data "
            "into a new store, or read this one with lesionlab 0.1.0"
        )


def _is_missing(path: Path) -> bool:
    """Whether there is no such path; False for one that cannot exist, which `open_store` refuses with the reason."""
    try:
        return not path.exists()
    except OSError:
        return False
