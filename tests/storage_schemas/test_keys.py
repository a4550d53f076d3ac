"""Keys are built and parsed back without loss, and no value can escape its path segment."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage_schemas import keys
from storage_schemas.keys import KeyPattern

PATTERNS = {name: value for name, value in vars(keys).items() if isinstance(value, KeyPattern)}
NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]|\.[A-Za-z0-9_-]){0,20}", fullmatch=True)


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
@settings(max_examples=10)  # one rule for all families
@given(data=st.data())
def test_a_key_is_parsed_back_into_the_values_that_built_it(pattern: KeyPattern, data: st.DataObject) -> None:
    values = {field: data.draw(NAMES, label=field) for field in pattern.fields}
    key = pattern.build(**values)
    assert pattern.parse(key) == values
    assert not key.startswith("/")
    assert ".." not in key


@given(data=st.data())
def test_a_key_belongs_to_only_one_family(data: st.DataObject) -> None:
    # Only `current.json` and `champion.json` are in the place of an immutable name; a digest is never such a word.
    digests = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)
    pattern = data.draw(st.sampled_from(list(PATTERNS.values())))
    key = pattern.build(**{field: data.draw(digests) for field in pattern.fields})
    moving = {keys.CURRENT_PART: keys.PART, keys.CURRENT_PLAN: keys.PLAN}
    families = [other for other in PATTERNS.values() if other.parse(key) is not None]
    assert families in ([pattern], [moving.get(pattern), pattern])


@pytest.mark.parametrize("value", ["", ".", "..", "../x", "/x", "a/b", "a..b", ".hidden", "a b", "ä", "a\n", "a\x00"])
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
def test_a_value_that_is_not_a_plain_name_is_refused_in_every_field(pattern: KeyPattern, value: str) -> None:
    for field in pattern.fields:
        values = dict.fromkeys(pattern.fields, "fine") | {field: value}
        with pytest.raises(ValueError, match=f"wanted a plain name for {field}"):
            pattern.build(**values)


@pytest.mark.parametrize("values", [{}, {"run_id": "a", "more": "b"}], ids=["missing", "unknown"])
def test_a_key_needs_exactly_its_own_fields(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"wanted \['run_id'\], found"):
        keys.LEDGER.build(**values)


@pytest.mark.parametrize(
    "key", ["ledger/a/b.json", "ledger/a.json.bak", "x/ledger/a.json", "ledger/../a.json", "ledger/.json", "ledger/a\n"]
)
def test_a_key_of_another_family_is_not_parsed(key: str) -> None:
    assert keys.LEDGER.parse(key) is None


@given(experiment=NAMES, run_id=NAMES)
def test_every_key_with_these_values_starts_with_their_prefix(experiment: str, run_id: str) -> None:
    prefix = keys.STUDY_ROWS.prefix(experiment=experiment)
    assert keys.STUDY_ROWS.build(experiment=experiment, run_id=run_id).startswith(prefix)
    assert prefix.endswith("/part-")
    assert keys.STUDY_ROWS.prefix() == "results/"
