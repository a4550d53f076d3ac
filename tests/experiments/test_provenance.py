"""Any changed source file changes the code version; a process keeps the version that it started with."""

from __future__ import annotations

import pytest

from lesionlab.experiments.provenance import code_version


@pytest.mark.parametrize(("room", "source"), [("drawn_rules", "rules.py"), ("drawn_pages", "templates/page.html.j2")])
def test_a_changed_source_changes_the_version_for_the_next_process(tmp_path, monkeypatch, room, source):
    path = tmp_path / room / source
    path.parent.mkdir(parents=True)
    (tmp_path / room / "__init__.py").write_text("")
    path.write_text("one")
    monkeypatch.syspath_prepend(tmp_path)
    before = code_version((room,))
    path.write_text("two")
    assert code_version((room,)) == before
    code_version.cache_clear()  # as in another process
    assert code_version((room,)) != before
    code_version.cache_clear()
