"""Sites' parts in; one manifest, or every fault that keeps them apart, out. Nothing is replaced in silence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import pytest

from lesionlab.errors import Conflict, DatasetError, InputError
from lesionlab.experiments.manifests import current_manifest, frozen_manifest, union
from lesionlab.experiments.parts import combined, current_part, leave_cohort, move_part
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.manifests import Exclusion, ManifestEntry
from storage_schemas.parts import DeclaredCohort, Part
from storage_schemas.tasks import TASKS
from storage_schemas.verdicts import Finding
from tests.experiments.drawn import entry

TASK = TASKS["flair-single"]
DECLARED = DeclaredCohort(cohort="ms", sites=("north", "south"), task=TASK, rating="two raters, consensus")


def part(site: str, *studies: ManifestEntry, **changes: object) -> Part:
    own = tuple(study.model_copy(update={"site": site}) for study in studies)
    whole = {"site": site, "cohort": "ms", "task": TASK, "spacing_mm": 1.0, "version": 2, "studies": own}
    return Part.named(**whole | changes)


NORTH, SOUTH = part("north", entry(1), entry(2)), part("south", entry(3), entry(4))


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def faults(*parts: Part, declared: DeclaredCohort | None = DECLARED) -> str:
    with pytest.raises(DatasetError) as caught:
        union("ms", parts, declared)
    return "\n".join(caught.value.args)


def test_two_hospitals_with_the_same_labels_are_one_cohort_with_labels_qualified_by_site() -> None:
    south = part("south", entry(1, image=11), entry(2, image=12))
    found = union("ms", (NORTH, south), DECLARED)
    assert [study.study for study in found.studies] == [
        f"{site}/sub-000{number}" for site in ("north", "south") for number in (1, 2)
    ]
    assert [study.patient for study in found.studies] == ["north/p1", "north/p2", "south/p1", "south/p2"]
    assert found.studies[0].volume_key == f"sites/north/volumes/sub-0001/{1:016x}.zarr"


def test_the_order_in_which_sites_arrive_changes_nothing() -> None:
    third = part("west", entry(5))
    assert len({union("ms", order).id for order in permutations((NORTH, SOUTH, third))}) == 1


def test_one_hospital_keeps_its_labels(store: Store) -> None:
    move_part(store, NORTH, None)
    assert [study.study for study in current_manifest(store, "ms").studies] == ["sub-0001", "sub-0002"]


def test_only_invited_sites_count(store: Store) -> None:
    write_document(store, keys.COHORT.build(cohort="ms"), DECLARED)
    with pytest.raises(InputError, match="invited: north, south"):
        current_manifest(store, "ms")
    for own in (NORTH, SOUTH, part("west", entry(5))):
        move_part(store, own, None)
    assert set(current_manifest(store, "ms").parts) == {"north", "south"}


def test_a_register_entry_at_two_sites_is_refused_naming_both_and_enters_no_manifest() -> None:
    token = {"register_token": "a" * 64}
    north = part("north", entry(1).model_copy(update=token))
    assert "north/sub-0001 and south/sub-0003 are the same patient of the register" in faults(
        north, part("south", entry(3).model_copy(update=token))
    )
    assert union("ms", (north, SOUTH), DECLARED).studies[0].register_token is None


def test_an_image_at_two_sites_is_refused_naming_both() -> None:
    assert "north/sub-0001 and south/sub-0003 have the same image" in faults(NORTH, part("south", entry(3, image=1)))


def test_a_label_of_two_sites_is_refused_where_the_cohort_is_not_declared() -> None:
    other = part("south", entry(1, image=9))
    assert "sub-0001 is a study of north and of south" in faults(NORTH, other, declared=None)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"spacing_mm": 2.0}, "spacing_mm differs: 1 at north, 2 at south"),
        ({"strip": "deepbet"}, "strip differs: none at north, deepbet at south"),
        ({"version": 1}, "version of preprocessing differs: 2 at north, 1 at south"),
        ({"task": TASKS["enhancing"]}, "task differs: flair-single at north, enhancing at south"),
    ],
)
def test_another_preparation_is_refused_with_what_differs_at_which_site(change: dict[str, object], fault: str) -> None:
    told = faults(NORTH, part("south", entry(3), **change))
    assert fault in told
    if "version" not in change:
        assert "is declared, south has" in told


def test_the_declared_rule_for_second_raters_holds_at_every_site() -> None:
    strict = DECLARED.model_copy(update={"second_rater": "required"})
    assert "required, but south has none for sub-0003" in faults(
        part("north", entry(1, second_rater=True)), part("south", entry(3)), declared=strict
    )


def test_a_second_dataset_replaces_nothing_in_silence() -> None:
    smaller = part("north", entry(7))
    with pytest.raises(DatasetError, match=r"has 2 studies of this site.*replace 2 of them.*--add.*--replace"):
        combined(NORTH, smaller, "refuse")
    assert combined(NORTH, smaller, "replace") == smaller
    assert [study.study for study in combined(NORTH, smaller, "add").studies] == ["sub-0001", "sub-0002", "sub-0007"]


def test_the_same_dataset_again_corrected_or_grown_is_no_second_one() -> None:
    corrected = part("north", entry(1, load_ml=9.0), entry(2), entry(3))
    assert combined(NORTH, corrected, "refuse") == corrected
    finding = Finding(code="mask-empty", place="mask", what="empty")
    without = part("north", entry(1), excluded=(Exclusion(study="sub-0002", findings=(finding,)),))
    assert combined(NORTH, without, "refuse") == without


def test_another_image_under_a_label_is_never_taken_for_the_same_study() -> None:
    other = part("north", entry(1, image=21), entry(2))
    with pytest.raises(DatasetError, match=r"would replace 1 of them \(sub-0001\)"):
        combined(NORTH, other, "refuse")
    with pytest.raises(DatasetError, match="sub-0001 of cohort ms has another image"):
        combined(NORTH, other, "add")


def test_only_what_was_prepared_in_the_same_way_is_added() -> None:
    with pytest.raises(DatasetError, match="spacing_mm: cohort ms has 1 at this site, this dataset 2"):
        combined(NORTH, part("north", entry(7), spacing_mm=2.0), "add")


def test_a_part_that_moved_meanwhile_is_not_overwritten(store: Store) -> None:
    move_part(store, NORTH, None)
    for was in (None, "0" * 16):
        with pytest.raises(Conflict):
            move_part(store, part("north", entry(9)), was)
    assert current_part(store, "north", "ms") == NORTH


def test_two_sites_that_contribute_at_once_lose_nothing_and_give_one_digest(tmp_path) -> None:
    digests = set()
    for number in range(20):
        store = open_store((tmp_path / str(number)).as_uri())
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda own, place=store: move_part(place, own, None), (NORTH, SOUTH)))
        digests.add(frozen_manifest(store, "ms").id)
        assert store.exists(keys.MANIFEST.build(cohort="ms", digest=next(iter(digests))))
    assert len(digests) == 1
    assert len(current_manifest(store, "ms").studies) == 4


def test_a_site_can_leave_and_its_part_stays_stored(store: Store) -> None:
    for own in (NORTH, SOUTH):
        move_part(store, own, None)
    assert leave_cohort(store, "ms", but={"north"}) == (SOUTH,)
    assert set(current_manifest(store, "ms").parts) == {"north"}
    assert store.exists(keys.PART.build(site="south", cohort="ms", digest=SOUTH.id))


def test_a_part_has_studies_of_its_own_site_once_and_unqualified() -> None:
    with pytest.raises(ValueError, match=r"wanted studies of this site, found north/sub-0001"):
        part("north", entry(1).model_copy(update={"site": "north"}).qualified())
    with pytest.raises(ValueError, match="several of sub-0001"):
        part("north", entry(1), entry(1))
