"""sites.yaml is valid or refused with all its faults, each with its place."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from lesionlab.errors import SpecError
from lesionlab.experiments.sites_file import counts_fault, read_sites, store_counts, stored_counts
from lesionlab.experiments.upkeep.fsck import check_store
from lesionlab.store.objects import open_store
from storage_schemas import keys

GOOD = """
    consortium: ms-pool
    store: s3://ms-pool/lesionlab
    sites:
      north:
        title: North Hospital
        contacts: [{name: Data office, email: data@north.example}]
        gpus: 8
        lends: 4
        smallest_count: 15
      south-west:
        title: South-West Clinic
        contacts: [{name: Research IT, email: it@south.example}]
        gpus: 2
        borrows: 4
    """


def faults_of(folder: Path, text: str) -> list[str]:
    path = folder / "sites.yaml"
    path.write_text(dedent(text))
    with pytest.raises(SpecError) as caught:
        read_sites(path)
    return [fault.removeprefix(f"sites file {path}: ") for fault in caught.value.args]


def test_a_good_file_says_prefix_counts_and_gpus_of_each_site(tmp_path: Path) -> None:
    (tmp_path / "sites.yaml").write_text(dedent(GOOD))
    pool = read_sites(tmp_path / "sites.yaml")
    assert (pool.bucket, pool.folder) == ("ms-pool", "lesionlab/")
    assert [pool.prefix_of(name) for name in pool.sites] == ["sites/north/", "sites/south-west/"]
    assert [pool.smallest_count_of(name) for name in pool.sites] == [15, 10]
    assert [(site.gpus, site.lent, site.borrows) for site in pool.sites.values()] == [(8, 4, 0), (2, 2, 4)]


def test_the_store_has_the_smallest_counts_of_the_file_until_it_changes(tmp_path: Path) -> None:
    path, store = tmp_path / "sites.yaml", open_store("memory://")
    path.write_text(dedent(GOOD))
    assert counts_fault(store, read_sites(path)) == "sites.yaml says 10, 15 for north, the store nothing"
    store_counts(store, read_sites(path))
    assert counts_fault(store, read_sites(path)) == ""
    counts = stored_counts(store)
    assert counts is not None
    assert [counts.of(sites) for sites in ([], ["north", "south-west"], ["south-west"])] == [10, 15, 10]
    path.write_text(dedent(GOOD).replace("s3://ms-pool/lesionlab", "s3://ms-pool/lesionlab\nsmallest_count: 12"))
    assert counts_fault(store, read_sites(path)) == "sites.yaml says 12, 15 for north, the store 10, 15 for north"
    store_counts(store, read_sites(path))
    assert counts_fault(store, read_sites(path)) == ""
    key = keys.SMALLEST_COUNTS.build()
    store.put(key, store.get(key).replace(b"12", b"2", 1))
    (damage,) = check_store(store, lambda data: True).damage
    assert (damage.key, damage.remedy) == (key, "lesionlab storage init sites.yaml writes it again")


def test_a_store_without_prefix_is_the_whole_bucket(tmp_path: Path) -> None:
    (tmp_path / "sites.yaml").write_text(dedent(GOOD).replace("/lesionlab", ""))
    assert read_sites(tmp_path / "sites.yaml").folder == ""


def test_every_contradiction_is_named_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("lends: 4", "lends: 9").replace("borrows: 4", "borrows: 40")
    text = text.replace("smallest_count: 15", "smallest_count: 3").replace("ms-pool/lesionlab", "ms-pool/a/..")
    assert faults_of(tmp_path, text) == [
        "sites.north.lends: wanted at most its 8 GPUs, found 9",
        "sites.north.smallest_count: wanted at least the consortium's 10, found 3",
        "sites.south-west.borrows: wanted at most the 9 GPUs that others lend, found 40",
        "store: wanted a prefix without '.' and '..', found s3://ms-pool/a/..",
    ]


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ("north:", "North Hospital:", "wanted a name of lower-case letters"),
        ("data@north.example", "nobody", "contacts.0.email: wanted an e-mail address; found 'nobody'"),
        ("gpus: 8", "gpus: -1", "sites.north.gpus: wanted 0 or more; found -1"),
        ("gpus: 8", "gpu: 8", "sites.north.gpu: unknown key; did you mean gpus?"),
        ("[{name: Data office, email: data@north.example}]", "[]", "sites.north.contacts: wanted 1 or more of them"),
        ("s3://ms-pool/lesionlab", "file:///tmp", "store: wanted s3://bucket/prefix"),
        ("s3://ms-pool/lesionlab", "s3://ms-pool/lesionlab/", "store: wanted s3://bucket/prefix, without a slash"),
        ("consortium: ms-pool", "", "consortium: missing"),
        ("title: North Hospital", "title: yes", "yes is true to some YAML readers"),
        ("gpus: 8", "gpus: 010", "010 is octal to some YAML readers"),
    ],
)
def test_bad_input_is_named_with_its_place(good: str, bad: str, fault: str, tmp_path: Path) -> None:
    assert any(fault in found for found in faults_of(tmp_path, GOOD.replace(good, bad)))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gone\.yaml: cannot be read"):
        read_sites(tmp_path / "gone.yaml")
