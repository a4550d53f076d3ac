"""Two hospitals contribute to one declared cohort under pseudonyms, and withdraw from it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lesionlab.errors import StoreUnreachable
from lesionlab.experiments.audit import chain
from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.parts import current_part
from lesionlab.experiments.upkeep.fsck import check_store
from lesionlab.store.documents import read_document
from lesionlab.store.files import FileStore
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.parts import Receipt
from tests.jobs.conftest import Lesionlab
from tests.preprocessing.drawn import draw_dataset, head, image_path, save

COHORT = "cohort: ms\nsites: [north, south]\ntask: flair-single\nspacing_mm: 4.0\nrating: two raters, consensus\n"
SALTS = {"north": "n" * 32, "south": "s" * 32}
REGISTER = "r" * 32

Contribute = Callable[..., object]


@pytest.fixture
def store(file_store_uri: str) -> Store:
    return open_store(file_store_uri)


@pytest.fixture
def hospital(tmp_path: Path, lesionlab: Lesionlab, monkeypatch: pytest.MonkeyPatch) -> Contribute:
    """Contribute a site's dataset of two patients, of the same labels at every site."""
    (tmp_path / "ms.yaml").write_text(COHORT)
    monkeypatch.setenv("LESIONLAB_REGISTER_SALT", REGISTER)
    declared = lesionlab("declare", tmp_path / "ms.yaml")
    assert declared.exit_code == 0, declared.output

    def call(site: str, *options: object, register: tuple[str, str] = ("", ""), first: int = 0, salt: str = ""):
        root = tmp_path / f"{site}-{first}"
        if not root.exists():
            draw_dataset(root, "sub-01", "sub-02")
            for number, study in enumerate(("sub-01", "sub-02")):
                save(image_path(root, study), head(100 * (site == "south") + first + number))
            rows = [f"sub-0{n}\tF\t{30 + n}\t{entry or 'n/a'}\tPRAGUE" for n, entry in enumerate(register, start=1)]
            table = "\n".join(("participant_id\tsex\tage\tregister_id\tsite", *rows))
            (root / "participants.tsv").write_text(table + "\n")
        secret = tmp_path / f"{site}.salt"
        secret.write_text(salt or SALTS[site])
        own = ("--cohort", "ms", "--site", site, "--salt-file", secret, "--plain")
        return lesionlab("contribute", root, *own, *options)

    return call


def whole(store: Store) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list("") if not key.startswith("audit/")}


def test_two_hospitals_with_the_same_labels_make_one_cohort(hospital: Contribute, store: Store) -> None:
    for site in ("south", "north"):
        done = hospital(site, register=("1980-123 456", "")) if site == "south" else hospital(site)
        assert done.exit_code == 0, done.output
    found = current_manifest(store, "ms")
    assert [entry.study.partition("/")[0] for entry in found.studies] == ["north", "north", "south", "south"]
    assert {entry.site for entry in found.studies} == {"north", "south"}
    own = ("sites/north/", "sites/south/", "audit/contributor-north/", "audit/contributor-south/")
    written = {key for key in store.list("") if not key.startswith(own)}
    assert written == {"cohorts/ms.json"}
    planted = (b"1980", b"123456", b"PRAGUE", b"sub-01", b"sub-02", *(salt.encode() for salt in SALTS.values()))
    assert not [key for key, data in whole(store).items() if any(one in key.encode() + data for one in planted)]
    (key,) = store.list("sites/north/receipts/")
    receipt = read_document(store, key, Receipt)
    assert (receipt.what, len(receipt.studies)) == ("contributed", 2)
    assert receipt.size > 0
    assert check_store(store, lambda data: True).damage == ()


def test_a_dry_run_shows_every_object_and_fact_and_sends_nothing(hospital: Contribute, store: Store) -> None:
    before = whole(store)
    shown = hospital("north", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert whole(store) == before
    told = hospital("north")
    assert told.exit_code == 0
    (volumes,) = re.findall(r"(\d+) of them, [0-9.]+ MB, in volumes", shown.output)
    assert f"{volumes} objects of" in told.output
    sent = {key for key in store.list("sites/north/") if "/receipts/" not in key and "salt-check" not in key}
    assert {line.partition(":")[0] for line in shown.output.splitlines() if line.startswith("sites/")} == sent
    assert shown.output.count("sex F") == 2


def test_one_patient_of_the_register_at_two_sites_is_refused_naming_both(
    hospital: Contribute, store: Store, lesionlab: Lesionlab
) -> None:
    assert hospital("north", register=("A-17", "")).exit_code == 0
    assert hospital("south", register=("a17", "B-2")).exit_code == 0
    told = lesionlab("cohort", "ms")
    assert told.exit_code == 1
    assert "are the same patient of the register" in told.output
    assert "north/sub-" in told.output
    assert "south/sub-" in told.output


def test_a_wrong_salt_is_refused_and_never_repeated(hospital: Contribute, store: Store, monkeypatch) -> None:
    assert hospital("north").exit_code == 0
    before = whole(store)
    wrong = hospital("north", salt="w" * 32)
    assert wrong.exit_code == 1
    assert "not the one of earlier contributions" in wrong.output
    monkeypatch.setenv("LESIONLAB_REGISTER_SALT", "x" * 32)
    other = hospital("north")
    assert "register's salt is not the one" in other.output
    short = hospital("north", salt="short")
    assert short.exit_code == 1
    assert "w" * 32 not in wrong.output
    assert "xxxx" not in other.output
    assert whole(store) == before


def test_who_is_not_invited_or_where_nothing_is_declared_is_refused(
    hospital: Contribute, lesionlab: Lesionlab, tmp_path: Path
) -> None:
    refused = hospital("west", salt="w" * 32)
    assert refused.exit_code == 1
    assert "site west is not invited; invited are north, south" in refused.output
    plain = lesionlab("preprocess", draw_dataset(tmp_path / "own", "sub-01"), "--cohort", "ms", "--plain")
    assert plain.exit_code == 1
    assert "lesionlab contribute DATASET --cohort ms" in plain.output.replace("\n", " ")


def test_a_second_dataset_needs_a_word(hospital: Contribute, store: Store) -> None:
    assert hospital("north").exit_code == 0
    refused = hospital("north", first=50)
    assert refused.exit_code == 1
    assert "--add" in refused.output
    assert hospital("north", "--replace", first=50).exit_code == 0
    assert len(current_manifest(store, "ms").studies) == 2


def test_a_withdrawn_study_is_gone_from_the_next_plan_and_from_the_store(
    hospital: Contribute, store: Store, lesionlab: Lesionlab
) -> None:
    for site in ("north", "south"):
        assert hospital(site).exit_code == 0
    study = current_part(store, "north", "ms").studies[0].study
    done = lesionlab("withdraw", study, "--site", "north")
    assert done.exit_code == 0, done.output
    assert len(current_manifest(store, "ms").studies) == 3
    left = [key for key in store.list("sites/north/") if study in key]
    assert left == [keys.WITHDRAWAL.build(site="north", study=study)]
    (receipt,) = [
        one
        for key in store.list("sites/north/receipts/")
        if (one := read_document(store, key, Receipt)).what != "contributed"
    ]
    assert (receipt.studies, receipt.part) == ((study,), current_part(store, "north", "ms").id)
    steward = lesionlab("withdraw", "--steward")
    assert "1 withdrawn studies" in steward.output
    told = {
        writer: [(one.command, one.outcome, [(own.site, own.studies) for own in one.studies]) for one in entries]
        for writer in ("contributor-north", "steward")
        if (entries := chain(store, writer).entries[-2:])
    }
    both = [("withdraw", outcome, [("north", 1)]) for outcome in ("begun", "done")]
    assert told == {"contributor-north": both, "steward": both}
    assert check_store(store, lambda data: True).damage == ()
    assert lesionlab("withdraw", "sub-nobody", "--site", "north").exit_code == 1
    again = hospital("north")
    assert again.exit_code == 1
    assert "was withdrawn" in again.output


def test_the_audit_says_who_did_what_on_whose_studies_and_tells_a_changed_byte(
    hospital: Contribute, store: Store, lesionlab: Lesionlab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LESIONLAB_USER", "Dr. North")
    assert hospital("north").exit_code == 0
    assert hospital("north", salt="w" * 32).exit_code == 1
    (done, part), (failed, _) = [
        (entry, entry.studies[0]) for entry in chain(store, "contributor-north").entries if entry.outcome != "begun"
    ]
    assert (done.who, done.known_by, done.command, done.about) == ("Dr. North", "declared", "contribute", "ms")
    assert (part.site, part.part, part.studies) == ("north", current_part(store, "north", "ms").id, 2)
    assert (failed.outcome, failed.fault) == ("failed", "InputError")
    assert hospital("south").exit_code == 0
    shown = lesionlab("audit", "--site", "north").output
    assert "2 of north in ms" in shown
    assert "south" not in shown
    assert "2 chains, nothing was changed" in lesionlab("audit", "--verify").output
    key = store.list("audit/contributor-north/")[1]
    store.put(key, store.get(key).replace(b"Dr. North", b"Dr. South"))
    told = lesionlab("audit", "--verify")
    assert told.exit_code == 3
    assert key in told.output
    assert check_store(store, lambda data: True).damage[0].key == key


def test_an_image_of_both_sites_is_refused_naming_both(
    hospital: Contribute, store: Store, lesionlab: Lesionlab, tmp_path: Path
) -> None:
    assert hospital("north").exit_code == 0
    assert hospital("south", "--dry-run").exit_code == 0  # draws the dataset
    save(image_path(tmp_path / "south-0", "sub-01"), head(0).astype(np.float32))
    assert hospital("south").exit_code == 0
    assert "have the same image" in lesionlab("cohort", "ms").output


def test_an_upload_that_is_cut_leaves_nothing_that_counts_and_goes_on(
    hospital: Contribute, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hospital("north").exit_code == 0
    undisturbed, objects = current_part(store, "north", "ms"), len(store.list("sites/north/"))
    whole_write = FileStore._written

    for stop in (objects // 2, objects - 1):
        store.delete_prefix("sites/north/")
        left = [stop]

        def written(self: FileStore, key: str, data: bytes, left: list[int] = left):
            left[0] -= key.startswith("sites/")
            if left[0] < 0:
                raise StoreUnreachable(f"{self.uri}: no answer")
            return whole_write(self, key, data)

        with monkeypatch.context() as cut:
            cut.setattr(FileStore, "_written", written)
            stopped = hospital("north")
        assert stopped.exit_code == 1
        assert "no answer" in stopped.output
        assert current_part(store, "north", "ms") in (None, undisturbed)
        assert check_store(store, lambda data: True).damage == ()
    assert hospital("north").exit_code == 0
    assert current_part(store, "north", "ms") == undisturbed
