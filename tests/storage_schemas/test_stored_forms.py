"""Documents and tables of every release can be read; unreadable ones are refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lesionlab.errors import StoreError
from lesionlab.experiments.upkeep import kinds
from lesionlab.store.documents import read_document, read_pointer, write_document
from lesionlab.store.objects import open_store
from lesionlab.store.tables import read_rows
from storage_schemas.base import Document, Named, SchemaError
from storage_schemas.manifests import ManifestEntry
from storage_schemas.models import ModelName
from storage_schemas.runs import RunSpec
from storage_schemas.volumes import PredictionCard, StudyVolumeCard
from tests.storage_schemas.make_golden import ATTRIBUTES, DRAWN, GOLDEN, OBJECTS

KINDS: dict[str, type[Document]] = {
    kind.__name__: kind
    for kind in (*kinds.DOCUMENTS.values(), *kinds.TABLES.values(), StudyVolumeCard, PredictionCard, ManifestEntry)
}


def age(release: str) -> tuple[object, ...]:
    """`0.2.0.dev` is older than `0.2.0`."""
    return tuple(map(int, release.removesuffix(".dev").split("."))), not release.endswith(".dev")


RELEASES = sorted((folder.name for folder in GOLDEN.iterdir()), key=age)
DOCUMENTS = [path for path in sorted(GOLDEN.rglob("*.json"))]
TABLES = [path for path in sorted(GOLDEN.rglob("*.parquet"))]
KEY = "models/glioma/champion.json"


def release_and_kind(path: Path) -> str:
    return f"{path.parent.name} {path.stem}"


def test_every_kind_of_stored_document_has_a_golden_file_of_the_last_release() -> None:
    """A kind that is new since then gets its own with the next release."""
    last = {path.name for path in (GOLDEN / RELEASES[-1]).iterdir()}
    assert last == {*OBJECTS, *ATTRIBUTES, *DRAWN}
    assert {name.partition(".")[0] for name in last} == {*KINDS}


def test_a_golden_document_of_a_release_was_written_by_it() -> None:
    for path in (path for path in DOCUMENTS if path.name in ("LedgerEntry.json", "Receipt.json", "AuditEntry.json")):
        written = "0.1.0" if path.parent.name == "0.2.0.dev" else path.parent.name
        assert json.loads(path.read_text())["lesionlab"] == written


@pytest.mark.parametrize("path", DOCUMENTS, ids=release_and_kind)
def test_documents_of_every_release_can_be_read_with_every_field(path: Path) -> None:
    form = json.loads(path.read_text())
    document = KINDS[path.stem].from_stored(form)
    fields = {name: value for name, value in form.items() if name not in ("schema", "sha256")}
    compact = {name: value for name, value in document.stored_form().items() if name != "schema"}
    # Since schema 2 a plan writes once what its runs share, and is read whole.
    assert fields == json.loads(json.dumps(compact if form["schema"] > 1 else document.written()))
    if isinstance(document, Named):
        assert document.id == form["id"]


@pytest.mark.parametrize("path", TABLES, ids=release_and_kind)
def test_tables_of_every_release_can_be_read(path: Path) -> None:
    store = open_store("memory://")
    store.put("table.parquet", path.read_bytes())
    rows = read_rows(store, ["table.parquet"], KINDS[path.stem])
    assert all(isinstance(row, KINDS[path.stem]) for row in rows)
    if path.stem not in ("VerdictRow", "LesionRow"):
        assert rows


@pytest.mark.parametrize("release", RELEASES)
def test_this_code_computes_the_stored_id_of_a_golden_run(release: str) -> None:
    """Fails if a field was added to a run without `Neutral` or `Aside`: every run would have to be repeated."""
    run = RunSpec.from_stored(json.loads((GOLDEN / release / "RunSpec.json").read_text()))
    assert run.name_digest() == run.id


def stored(form: Any) -> Any:
    store = open_store("memory://")
    store.put(KEY, json.dumps(form).encode())
    return store


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ({"target": "0" * 16}, "written by lesionlab 0.1.0"),
        ({"schema": 2, "target": "0" * 16}, "schema 2, this version reads schema 1: written by a newer lesionlab"),
        ({"schema": 1, "target": "0" * 16, "since": 1}, r"unknown fields \(since\).*written by a newer lesionlab"),
        ({"schema": 1, "target": "glioma"}, "is not a valid Pointer: target"),
        ({"schema": 1}, "is not a valid Pointer: target"),
        ([], "is not a valid Pointer"),
    ],
    ids=["0.1.0", "future schema", "future field", "wrong value", "missing field", "no document"],
)
def test_an_unreadable_document_is_refused_in_one_sentence(form: Any, wanted: str) -> None:
    with pytest.raises(StoreError, match=wanted) as refusal:
        read_pointer(stored(form), KEY)
    assert KEY in str(refusal.value)
    assert len(refusal.value.args) == 1


def test_a_document_that_is_not_json_is_refused_in_one_sentence() -> None:
    store = open_store("memory://")
    store.put(KEY, b"\x00{")
    with pytest.raises(StoreError, match="is not JSON"):
        read_pointer(store, KEY)


def test_an_unknown_field_of_a_newer_version_is_named() -> None:
    form = ModelName(name="glioma", version="0" * 16).stored_form() | {"schema": 1}
    with pytest.raises(SchemaError, match=r"unknown fields \(colour\)"):
        ModelName.from_stored(form | {"colour": "blue"})


def test_a_stored_document_is_read_back_unchanged() -> None:
    store = open_store("memory://")
    document = ModelName(name="glioma", version="0" * 16)
    write_document(store, KEY, document)
    form = json.loads(store.get(KEY))
    assert len(form.pop("sha256")) == 64
    assert form == {"name": "glioma", "schema": 1, "version": "0" * 16}
    assert read_document(store, KEY, ModelName) == document
