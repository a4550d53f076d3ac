"""Malformed input at every door is refused in sentences: no traceback, no hang, nothing written, nothing executed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastparquet
import pandas as pd
import pytest
import safetensors.torch
import torch
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.shared.options import plain_name, store_uri
from jobs.shared.tasks import load_task
from lesionlab.analysis.statistics.external import read_table
from lesionlab.delimited import read_delimited
from lesionlab.errors import LesionlabError
from lesionlab.experiments.registry import find_model
from lesionlab.experiments.spec_files import read_spec
from lesionlab.experiments.stored_plans import find_plan
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import load_weights, read_weights, weights_bytes
from lesionlab.orchestration.cluster import checked_address, temp_folder
from lesionlab.store.arrays import read_array, read_attributes
from lesionlab.store.aws import aws_access
from lesionlab.store.documents import read_document
from lesionlab.store.objects import open_store
from lesionlab.store.patience import declared_patience
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas import keys
from storage_schemas.base import Pointer
from storage_schemas.experiments import Plan
from storage_schemas.models import Architecture, InferenceConfig, ModelCard
from storage_schemas.results import EpochRow, LedgerEntry
from storage_schemas.tasks import TASKS

DEMO = Path("jobs/specs/demo.yaml").read_text()
HEADER = "study,patient,site,arm,training_size,fold,sensitivity,ppv\n"
ROW = "sub-01,p01,north,FT,10,1,0.5,0.5\n"
KEY = "models/glioma/champion.json"
NETWORK = Architecture(depth=1, base_channels=1)
Door = Callable[[Path, Any], object]


class Executed(Exception):
    """Something in the input was executed."""


def _executed() -> None:
    raise Executed


class Pickled:
    """Raises Executed where it is unpickled."""

    def __reduce__(self) -> Any:
        return _executed, ()


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def spec(folder: Path, content: str | bytes) -> object:
    return read_spec(written(folder, "experiment.yaml", content))


def changed(folder: Path, change: tuple[str, str]) -> object:
    """The demo's file with one text replaced."""
    assert change[0] in DEMO
    return spec(folder, DEMO.replace(*change, 1))


def task(folder: Path, content: str) -> object:
    return load_task(str(written(folder, "task.yaml", content)))


def rows(folder: Path, content: str | bytes) -> object:
    return read_table(written(folder, "rows.csv", content))


def stored(content: bytes, key: str = KEY) -> Any:
    store = open_store("memory://")
    store.put(key, content)
    return store


def document(_: Path, content: str | bytes) -> object:
    return read_document(stored(content.encode() if isinstance(content, str) else content), KEY, Pointer)


def entry(_: Path, changes: dict[str, Any]) -> object:
    return read_document(stored(json.dumps(ENTRY | changes).encode()), KEY, LedgerEntry)


def card(_: Path, changes: dict[str, Any]) -> object:
    form = CARD | changes
    return read_document(stored(json.dumps(form).encode()), KEY, ModelCard)


def plan(_: Path, runs: Any) -> object:
    return read_document(stored(json.dumps(PLAN | {"runs": runs}).encode()), KEY, Plan)


def parquet(_: Path, content: bytes | pd.DataFrame) -> object:
    if isinstance(content, pd.DataFrame):
        buffer = io.BytesIO()
        buffer.close = lambda: None  # type: ignore[method-assign]
        fastparquet.write("table", content, open_with=lambda *_: buffer, write_index=False)
        content = buffer.getvalue()
    return read_rows(stored(content), [KEY], EpochRow)


def weights(_: Path, content: bytes | dict[str, Any]) -> object:
    if isinstance(content, dict):
        own = safetensors.torch.load(weights_bytes(build_unet(NETWORK, 1, 0)))
        name = next(iter(own))
        content = safetensors.torch.save(own | {name: content["change"](own[name])})
    return load_weights(build_unet(NETWORK, 1, 0), content)


def group(_: Path, root: str | bytes) -> object:
    store = stored(root.encode() if isinstance(root, str) else root, "studies/a/b/c.zarr/zarr.json")
    read_attributes(store, "studies/a/b/c.zarr")
    return read_array(store, "studies/a/b/c.zarr", "image")


def uri(_: Path, text: str) -> object:
    return open_store(store_uri(text))


def name(_: Path, text: str) -> object:
    return plain_name(text)


def model(_: Path, text: str) -> object:
    return find_model(open_store("memory://"), text)


def experiment(_: Path, text: str) -> object:
    return find_plan(open_store("memory://"), plain_name(text) or "")


def environment(_: Path, setting: tuple[Callable[[], object], dict[str, str]]) -> object:
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in setting[1].items():
            patch.setenv(variable, value)
        return setting[0]()


def pipe(folder: Path, read: Callable[[Path], object]) -> object:
    os.mkfifo(folder / "pipe.csv")
    return read(folder / "pipe.csv")


def bucket() -> object:
    return aws_access("s3://bucket")


CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "hidden"}
ENTRY: dict[str, Any] = {
    **{"schema": 1, "run_id": "0" * 16, "experiment": "demo", "tested": 1, "epochs": 1, "steps": 1, "final_loss": 0.1},
    **{"workers": 1, "device": "cpu", "training_s": 1.0, "evaluation_s": 1.0, "attempts": 1, "lesionlab": "0.2.0"},
    **{"code": "0" * 16, "libraries": {}},
}
CARD = json.loads(
    json.dumps(
        ModelCard(
            name="glioma",
            version="0" * 16,
            task=TASKS["flair-single"],
            architecture=NETWORK,
            channels=("flair",),
            spacing_mm=1.0,
            patch_voxels=16,
            inference=InferenceConfig(),
            weights_sha256="0" * 64,
            cohort="gliomas",
            training_studies=1,
        ).stored_form()
    )
)
PLAN = {"schema": 2, "id": "0" * 16, "manifest": "0" * 16, "split": "0" * 16}
EPOCHS = pd.DataFrame({"epoch": [1], "step": [1], "loss": [0.5]})


def torch_file() -> bytes:
    buffer = io.BytesIO()
    torch.save({"head.bias": torch.zeros(1)}, buffer)
    return buffer.getvalue()


def tensors_of(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


TABLE: list[tuple[Door, Any, str]] = [
    # Experiment files
    (spec, "", "wanted|empty|dictionary"),
    (spec, "just text", "wanted|dictionary"),
    (spec, "- a\n- list\n", "wanted|dictionary"),
    (spec, "name: [unclosed", "not valid YAML"),
    (spec, "name: a\n\tb: c", "not valid YAML"),
    (spec, b"name: \xff\xfe", "line 1: not in UTF-8; save the file as UTF-8"),
    (spec, b"name: a\ntitle: L\xe4sionen\n", "line 2: not in UTF-8"),
    (spec, "name: a\0b", "not valid YAML"),
    (spec, "[" * 3000 + "]" * 3000, "levels of nesting"),
    (spec, "".join(f"{' ' * level}k:\n" for level in range(3000)), "levels of nesting"),
    (spec, "a: &a [b, *a]", "contains itself"),
    (spec, "a: &a {b: *a}", "contains itself"),
    (
        spec,
        "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))]),
        "20,000",
    ),
    (spec, "name: !!python/object/apply:os.system ['echo']", "tag"),
    (spec, "name: *nowhere", "not valid YAML"),
    (spec, "name: a\nname: b", "twice"),
    (spec, "{[1, 2]: a}", "wanted a name as key"),
    (changed, ("name: demo", "name: a..b"), "name"),
    (changed, ("name: demo", "name: ../etc"), "name"),
    (changed, ("name: demo", "name: ''"), "name"),
    (changed, ("name: demo", 'name: "a\\nb"'), "name"),
    (changed, ("name: demo", f"name: {'a' * 64}"), "name"),
    (changed, ("patch_voxels: 24", "patch_voxels: 4096"), "patch_voxels"),
    (changed, ("patch_voxels: 24", "patch_voxels: -8"), "patch_voxels"),
    (changed, ("learning_rate: 3.0e-3", "learning_rate: .inf"), "finite"),
    (changed, ("learning_rate: 3.0e-3", "learning_rate: 1e999"), "finite"),
    (changed, ("learning_rate: 3.0e-3", "learning_rate: .nan"), "finite"),
    (changed, ("epochs: 24", "epochs: 99999999999999999999999"), "digits"),
    (changed, ("base_channels: 6", "base_channels: 1000000000"), "base_channels"),
    (changed, ("training_sizes: [4, 8]", "training_sizes: [4, eight]"), "training_sizes"),
    (changed, ("training_sizes: [4, 8]", "training_size: [4, 8]"), "training_sizes"),
    (changed, ("spacing_mm: 2.0", "spacing_mm: yes"), "true"),
    (changed, ("spacing_mm: 2.0", "spacing_mm: 1.0e-300"), "spacing_mm: wanted 0.1 or more"),
    (changed, ("spacing_mm: 2.0", "spacing_mm: 1000000"), "spacing_mm: wanted 20 or less"),
    (changed, ("subsets: 3", "subsets: 1000000000"), "subsets: wanted 10000 or less"),
    (changed, ("studies: 12", "studies: 1000000000"), "studies: wanted 100000 or less"),
    (changed, ("title: ", 'title: "\\ud800"\nx: '), r"found the character '\\ud800'"),
    (changed, ("title: ", 'title: "\\x1b[2J"\nx: '), r"found the character '\\x1b'"),
    (task, "name: a..b", "name"),
    (task, "name: own\ninputs: 7", "inputs"),
    # Tables
    (rows, "", "wanted|empty|no"),
    (rows, HEADER, "row|line"),
    (rows, "a,b\n1,2\n", "study"),
    (rows, HEADER + "sub-01,p01,north,FT,10,1,nonsense,0.5\n", "sensitivity"),
    (rows, HEADER + "sub-01,p01,north,FT,10,1,7,0.5\n", "sensitivity"),
    (rows, HEADER + "sub-01,p01,north,FT,-1,1,0.5,0.5\n", "training_size"),
    (rows, HEADER + ROW + ROW, "line 3.*already on line 2"),
    (rows, HEADER + 'sub-01,"p01,north,FT\n', "quote"),
    (rows, HEADER + "sub-01,p01\n", "cells|columns|fields"),
    (rows, HEADER + "x" * 200_000 + ",p01,north,FT,10,1,0.5,0.5\n", "line 2: found a cell of more than 131072"),
    (rows, HEADER.strip() + ",x" * 100_000 + "\n" + ROW, "at most 10000 columns"),
    (rows, b"\xff\xfe" + HEADER.encode("utf-16-le"), "UTF-8"),
    (rows, b"PK\x03\x04 a spreadsheet", "wanted|UTF-8|found"),
    (pipe, read_delimited, "pipe"),
    (pipe, read_spec, "pipe"),
    # Documents
    (document, b"", "not JSON"),
    (document, "{", "not JSON"),
    (document, b"\xff\xff", "not JSON"),
    (document, "[" * 100_000, "not JSON"),
    (document, "null", "not a valid Pointer"),
    (document, "{}", "without a schema number"),
    (document, '{"schema": 1}', "target"),
    (document, '{"schema": "1", "target": "0123456789abcdef"}', "schema"),
    (document, '{"schema": true, "target": "0123456789abcdef"}', "schema"),
    (document, '{"schema": -1, "target": "0123456789abcdef"}', "schema"),
    (document, '{"schema": 99, "target": "0123456789abcdef"}', "newer"),
    (document, '{"schema": 1, "target": "../../etc/passwd"}', "target"),
    (document, '{"schema": 1, "target": "0123456789abcdef\\n"}', "target"),
    (document, '{"schema": 1, "target": "0123456789abcdef", "run": "rm"}', "newer"),
    (document, pickle.dumps(Pickled()), "not JSON"),
    (entry, {"experiment": "a..b"}, "experiment"),
    (entry, {"steps": -1}, "steps"),
    (entry, {"training_s": float("inf")}, "training_s"),
    (entry, {"evaluation_s": 1e308}, "evaluation_s"),
    (entry, {"libraries": "many"}, "libraries"),
    (plan, {"studies": [], "fields": [], "values": [], "runs": "all"}, "runs"),
    (plan, {"studies": [], "fields": ["id"], "values": [], "runs": []}, "fields"),
    (plan, 7, "runs"),
    # Models
    (card, {"architecture": {"depth": 4, "base_channels": 10**9}}, "base_channels"),
    (card, {"architecture": {"depth": 99}}, "depth"),
    (card, {"architecture": {"depth": 1, "encoder_dilation": 10**6}}, "dilation"),
    (card, {"channels": []}, "channels"),
    (card, {"channels": ["flair"] * 10_000}, "channels"),
    (card, {"spacing_mm": 1e-9}, "spacing_mm"),
    (card, {"spacing_mm": 1e9}, "spacing_mm"),
    (card, {"patch_voxels": 4096}, "patch_voxels"),
    (card, {"weights_sha256": "../weights"}, "weights_sha256"),
    (weights, b"", "safetensors"),
    (weights, b"\x80\x04 a pickle", "safetensors"),
    (weights, pickle.dumps(Pickled()), "safetensors"),
    (weights, torch_file(), "safetensors"),
    (weights, tensors_of(b"{}"), "tensors differ"),
    (weights, struct.pack("<Q", 2**63), "safetensors"),
    (weights, tensors_of(b'{"a": {"dtype": "F32", "shape": [99999999999], "data_offsets": [0, 4]}}'), "safetensors"),
    (weights, tensors_of(b"[" * 5000), "safetensors"),
    (weights, {"change": lambda own: torch.full_like(own, float("inf"))}, "finite numbers"),
    (weights, {"change": lambda own: torch.full_like(own, float("nan"))}, "finite numbers"),
    (weights, {"change": lambda own: own.int()}, "floating-point numbers, found int32"),
    (weights, {"change": lambda own: own[None]}, "tensors differ"),
    # Parquet
    (parquet, b"", "Parquet"),
    (parquet, b"PAR1" + b"\0" * 40 + b"PAR1", "Parquet"),
    (parquet, pickle.dumps(Pickled()), "Parquet"),
    (parquet, EPOCHS, "EpochRow"),
    (parquet, EPOCHS.assign(epoch=["one"]), "EpochRow"),
    # Zarr
    (group, "", "damaged"),
    (group, "[]", "damaged"),
    (group, "{}", "damaged"),
    (group, '{"attributes": 7}', "damaged"),
    (group, '{"attributes": {"checksums": 7}}', "damaged"),
    (group, '{"attributes": {"checksums": {"sha256": "", "objects": {"../../etc/passwd": ""}}}}', "damaged"),
    (group, '{"attributes": {}}', "wanted array"),
    # URIs and names
    (uri, "", "wanted"),
    (uri, "ftp://server/x", "wanted"),
    (uri, "file://relative", "wanted"),
    (uri, "s3://", "wanted"),
    (uri, "s3://UPPER/x", "wanted"),
    (uri, "s3://a..b/x", "wanted"),
    (uri, "s3://bucket/../other", "wanted"),
    (uri, "s3://bucket//x", "wanted"),
    (uri, "s3://bucket/a\nb", "wanted"),
    (uri, "s3://user:hidden@bucket/x", "wanted"),
    (uri, "file:///tmp/a%00b", "printable"),
    (uri, "file:///dev/null/x", "cannot be"),
    (name, "a..b", "wanted lower-case"),
    (name, "a\nb", "wanted lower-case"),
    (name, "a/b", "wanted lower-case"),
    (name, "..", "wanted lower-case"),
    (name, "", "wanted lower-case"),
    (name, "Ä", "wanted lower-case"),
    (name, "./ms/demo.yaml", "a name in the store"),
    (model, "", "not registered"),
    (model, "a\nb", "not registered"),
    (model, "../../x@1", "not registered"),
    (model, "glioma@../x", "not registered"),
    (experiment, "a..b", "wanted lower-case"),
    # Environment
    (environment, (bucket, CREDENTIALS | {"AWS_ENDPOINT_URL_S3": "http://u:hidden@host"}), "user name or password"),
    (environment, (bucket, CREDENTIALS | {"AWS_ENDPOINT_URL": "ftp://hidden@host"}), "user name or password"),
    (environment, (bucket, CREDENTIALS | {"AWS_ENDPOINT_URL": "http://host\n"}), "line break"),
    (environment, (bucket, CREDENTIALS | {"AWS_ENDPOINT_URL": "http://host:99999"}), "host and port"),
    (environment, (bucket, CREDENTIALS | {"AWS_SECRET_ACCESS_KEY": "hid den"}), "secret key"),
    (environment, (bucket, {}), "no credentials"),
    (environment, (declared_patience, {"LESIONLAB_STORE_PATIENCE": "long"}), "number of seconds"),
    (environment, (declared_patience, {"LESIONLAB_STORE_PATIENCE": "nan"}), "number of seconds"),
    (environment, (checked_address, {"RAY_ADDRESS": "head:0"}), "RAY_ADDRESS"),
    (environment, (checked_address, {"RAY_ADDRESS": "head;rm -r /"}), "RAY_ADDRESS"),
    (environment, (checked_address, {"RAY_ADDRESS": "ray://head:10001"}), "RAY_ADDRESS"),
    (environment, (temp_folder, {"RAY_TMPDIR": "/" + "x" * 200}), "RAY_TMPDIR"),
    (environment, (temp_folder, {"RAY_TMPDIR": "/dev/null"}), "RAY_TMPDIR: wanted a folder"),
    (environment, (temp_folder, {"TMPDIR": "/dev/null/below"}), "TMPDIR: wanted a folder"),
]


def row_name(row: tuple[Door, Any, str]) -> str:
    door, content, _ = row
    return re.sub(r" at 0x[0-9a-f]+", "", f"{door.__name__} {content!r:.40}".replace("\n", "↵"))


def files_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize(("door", "content", "said"), TABLE, ids=map(row_name, TABLE))
def test_bad_input_is_refused_in_a_sentence(door: Door, content: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises((LesionlabError, typer.BadParameter), match=f"(?i){said}") as refused:
        door(tmp_path, content)
    text = str(refused.value)
    assert "hidden" not in text.replace("hidden field", "")
    assert "Traceback" not in text
    assert len(text) < 20_000
    left = files_below(tmp_path)
    assert {path.name for path in left} <= {"experiment.yaml", "task.yaml", "rows.csv", "pipe.csv"}


def test_there_is_bad_input_for_every_door() -> None:
    assert len(TABLE) >= 60
    assert len({door.__name__ for door, _, _ in TABLE}) >= 14


# Fuzzing: whatever the bytes are, a parser gives a value or one of the project's errors.

FUZZ = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
BYTES = st.binary(max_size=300)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


LINES = [*DEMO.split("\n"), "  - [", "&a *a", "{", "? x", "<<: *training", "- &b {c: *b}"]


def given_up(door: Door, folder: Path, content: Any) -> None:
    """Read it; errors of the project are fine, all others are raised."""
    with contextlib.suppress(LesionlabError, typer.BadParameter):
        door(folder, content)


def cut_in(whole: bytes) -> st.SearchStrategy[bytes]:
    """Valid bytes, with one part replaced by others."""

    def cut(at: int, length: int, other: bytes) -> bytes:
        return whole[:at] + other + whole[at + length :]

    return st.builds(cut, st.integers(0, len(whole)), st.integers(0, 12), st.binary(max_size=12))


@FUZZ
@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from([*DEMO.split("\n"), "  - [", "&a *a", "{", "? x"]), max_size=30).map("\n".join)
)
def test_any_text_is_an_experiment_file_or_refused(tmp_path: Path, text: str) -> None:
    given_up(spec, tmp_path, text.encode("utf-8", "surrogatepass"))


@FUZZ
@given(BYTES | cut_in((HEADER + ROW).encode()))
def test_any_bytes_are_a_table_or_refused(tmp_path: Path, data: bytes) -> None:
    given_up(rows, tmp_path, data)


@FUZZ
@given(BYTES | cut_in(json.dumps(CARD).encode()))
def test_any_bytes_are_a_document_or_refused(data: bytes) -> None:
    given_up(document, Path(), data)
    given_up(lambda _, content: read_document(stored(content), KEY, ModelCard), Path(), data)


@FUZZ
@given(st.dictionaries(st.sampled_from(sorted(CARD)), JSON, max_size=3))
def test_any_values_in_a_model_card_are_a_card_or_refused(changes: dict[str, Any]) -> None:
    given_up(card, Path(), changes)


@FUZZ
@given(JSON)
def test_any_value_is_the_runs_of_a_plan_or_refused(value: Any) -> None:
    given_up(plan, Path(), value)


@FUZZ
@given(BYTES | cut_in(safetensors.torch.save({"a": torch.zeros(2)})))
def test_any_bytes_are_weights_or_refused(data: bytes) -> None:
    given_up(lambda _, content: read_weights(content), Path(), data)


@FUZZ
@given(BYTES | cut_in(b'{"attributes":{"checksums":{"sha256":"","objects":{}}},"zarr_format":3,"node_type":"group"}'))
def test_any_bytes_are_a_group_or_refused(data: bytes) -> None:
    given_up(group, Path(), data)


@FUZZ
@given(
    st.text(max_size=40)
    | st.sampled_from(["s3://", "file:///nowhere/"]).flatmap(lambda s: st.text(max_size=20).map(s.__add__))
)
def test_any_text_is_a_name_or_refused(text: str) -> None:
    given_up(name, Path(), text)
    given_up(model, Path(), text)


@FUZZ
@given(st.text(max_size=30))
def test_any_text_is_an_s3_uri_or_refused(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:  # without credentials no store opens, and nothing is sent
        patch.delenv("AWS_ACCESS_KEY_ID", raising=False)
        given_up(uri, Path(), f"s3://{text}")


@FUZZ
@given(st.text(max_size=40))
def test_a_name_that_is_accepted_is_a_part_of_a_key(text: str) -> None:
    try:
        accepted = plain_name(text)
    except typer.BadParameter:
        return
    assert accepted is not None
    key = keys.CURRENT_PLAN.build(experiment=accepted)
    assert keys.CURRENT_PLAN.parse(key) == {"experiment": accepted}


def test_rows_that_were_written_are_read(tmp_path: Path) -> None:
    """The doors of this file let good input in."""
    store = open_store("memory://")
    row = EpochRow(**{name: 1 for name in EpochRow.model_fields})
    write_rows(store, KEY, [row], EpochRow)
    assert read_rows(store, [KEY], EpochRow) == [row]
    spec(tmp_path, DEMO)
    card(tmp_path, {})
    entry(tmp_path, {})
    rows(tmp_path, HEADER + ROW)
    weights(tmp_path, weights_bytes(build_unet(NETWORK, 1, 0)))
