"""Other words change no statistic and no decision."""

from __future__ import annotations

import csv
import pkgutil
import sys
from importlib import import_module
from inspect import isfunction
from io import StringIO

import pytest

from lesionlab.analysis import words
from lesionlab.analysis.sheets.records import effects_csv, summary_csv
from lesionlab.analysis.statistics.changes import compared
from lesionlab.analysis.statistics.compute import statistics
from lesionlab.analysis.statistics.conclusions import conclusions
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.analysis.words.answer import answer_text

PLACEHOLDER = "…"
TEXTS = {"metric", "test", "comparison", "stratum", "note"}


@pytest.fixture
def other_words(monkeypatch):
    """Replaces every function and constant of the words room that gives a text, wherever it is imported."""

    def replace_all() -> int:
        modules = [import_module(f"{words.__name__}.{module.name}") for module in pkgutil.iter_modules(words.__path__)]
        texts = {
            id(value)
            for module in modules
            for value in vars(module).values()
            if (isfunction(value) and value.__annotations__.get("return") == "str")
        }
        replaced = 0
        for name, module in list(sys.modules.items()):
            if not name.startswith("lesionlab.analysis"):
                continue
            for attribute, value in list(vars(module).items()):
                if id(value) in texts:
                    monkeypatch.setattr(module, attribute, lambda *_: PLACEHOLDER)
                    replaced += 1
                elif name.startswith(words.__name__) and isinstance(value, str) and not attribute.startswith("__"):
                    monkeypatch.setattr(module, attribute, PLACEHOLDER)
        return replaced

    return replace_all


def analysed(rows, cells):
    return statistics(rows, cells, "per-study", Options(null_repetitions=2))


def decisions(rows, cells):
    """Everything that two definitions let the experiment say."""
    blind = [row.model_copy(update={"sensitivity": 0.0}) if row.arm == "fine-tuned" else row for row in rows]
    before, after = analysed(rows, cells), analysed(blind, cells)
    found = conclusions(before, after)
    changed = [one.changed for one in found]
    assert set(changed) == {True, False}
    return repr((before, after, compared(before.effects, after.effects), found, changed))


def records(text):
    return [{k: v for k, v in record.items() if k not in TEXTS} for record in csv.DictReader(StringIO(text))]


@pytest.mark.slow
def test_other_words_change_no_statistic_and_no_decision(rows, cells, other_words):
    deeper = [row.model_copy(update={"depth": 5, "ppv": None if row.fold == 1 else row.ppv}) for row in rows]
    both, found = rows + deeper, analysed(rows, cells)
    before = decisions(rows, cells), decisions(both, both), records(effects_csv(found.effects))
    summaries = summary_csv(found.summaries)
    assert other_words() > 100
    assert set(answer_text(found.answer).paper) == {PLACEHOLDER}
    assert (decisions(rows, cells), decisions(both, both), records(effects_csv(found.effects))) == before
    assert summary_csv(found.summaries) == summaries
