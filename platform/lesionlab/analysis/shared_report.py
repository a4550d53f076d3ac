"""Write a report that may leave the hospitals: for the consortium, or for everybody.

The rows are narrowed before anything is computed; what is computed from them leaves through one door, which lets out
the tables and columns that it lists and writes figures as PNG: an SVG holds its numbers in full precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from lesionlab.analysis.experiment_analysis import choose, is_simulated, options_of, planned_rows
from lesionlab.analysis.figures import rotation
from lesionlab.analysis.pages.contents import (
    Sheets,
    Shown,
    common_sheets,
    content_of,
    mask_meanings,
    meanings,
    table_sheets,
)
from lesionlab.analysis.pages.hashes import Hash, file_hashes, main_hashes, table_hashes
from lesionlab.analysis.pages.illustrations import (
    Illustration,
    as_illustration,
    cross_site_pictures,
    illustrate_numbers,
)
from lesionlab.analysis.pages.page import inline_png, page
from lesionlab.analysis.report import PAGE, report_name
from lesionlab.analysis.sheets.listings import hashes_sheet
from lesionlab.analysis.sheets.paper_tables import paper_sheets
from lesionlab.analysis.sheets.shared_cohort import shared_cohort_sheet
from lesionlab.analysis.sheets.shared_sheets import let_out
from lesionlab.analysis.sheets.sheet import as_markdown, files_of
from lesionlab.analysis.statistics.comparisons import Unit
from lesionlab.analysis.statistics.compute import Statistics, statistics
from lesionlab.analysis.statistics.conditions import condition_of, conditions, rows_by_condition
from lesionlab.analysis.statistics.cross_site import cross_site
from lesionlab.analysis.statistics.external import Table
from lesionlab.analysis.statistics.rows import Row
from lesionlab.analysis.statistics.sharing import Narrowed, Share, SharedRow, narrow
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.analysis.words import captions
from lesionlab.analysis.words import pages as page_words
from lesionlab.analysis.words import sharing as words
from lesionlab.analysis.words import tables as table_words
from lesionlab.analysis.words.answer import AnswerText, answer_text
from lesionlab.errors import InputError
from lesionlab.experiments.manifests import manifest_facts
from lesionlab.experiments.site_policies import refuse_showing, smallest_count
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.axes import ModelAxes
from storage_schemas.base import Digest
from storage_schemas.experiments import Plan, Undefined
from storage_schemas.facts import StudyFacts
from storage_schemas.manifests import Manifest
from storage_schemas.runs import Cell

_FIGURES = ("answer", "performance", "learning", "sites", "design")
"""Sections whose figures may leave."""

_WAYS = ("fine_tuned", "de_novo")
"""Of an endpoint."""

Axed = TypeVar("Axed", bound=ModelAxes)


@dataclass(frozen=True)
class SharedReport:
    """Every file by its path in a folder, and what a screen shows."""

    files: Mapping[str, bytes]
    answer: str
    table_text: str


def shared_experiment(store: Store, plan: Plan, share: Share, null_repetitions: int) -> SharedReport:
    """Analyse what the store holds of this plan, narrowed.

    The consortium, or a site's policy, may ask for more patients than `share` does. Raises StoreError if the store
    cannot be read, and InputError if a policy lets no aggregate leave, or nothing is of enough patients.
    """
    refuse_showing(store, plan.runs, "aggregates")
    share = replace(share, smallest=smallest_count(store, plan.runs, share.smallest))
    plan, _ = choose(store, plan)
    rows, missing = planned_rows(store, plan)
    narrowed = _narrowed(rows, plan.spec.undefined, share, plan.spec.target.sites)
    cells = [run.cell for run in plan.runs if run.cell]
    kept = set(conditions(rows)) - {*narrowed.left_out}
    planned = [_renamed(cell, narrowed) for cell in cells if condition_of(cell) in kept]
    options = _renamed_options(options_of(plan, null_repetitions), narrowed)
    found = _computed(narrowed, planned, plan.spec.unit_of_analysis, options, share, simulated=is_simulated(plan))
    manifest = read_document(store, keys.MANIFEST.build(cohort=plan.spec.target.cohort, digest=plan.manifest), Manifest)
    facts = [one for one in manifest_facts(store, manifest) if one.study in {row.study for row in rows}]
    sheets = common_sheets(found, _rows_by_site(narrowed), paper_sheets(plan.spec, found.tables))
    label = rows[0].definition
    spec = plan.spec.model_copy(update={"target": options.target or plan.spec.target})
    design = [as_illustration(rotation.figure(spec), "rotation", "design", "narrow", captions.ROTATION)]
    about = {
        "title": plan.spec.title,
        "simulated": is_simulated(plan),
        "missing": len(missing),
        "planned": len(cells),
        "meanings": (*mask_meanings(plan.spec.metric, label), *_meanings(found, plan.spec.undefined)),
    }
    return _written(found, narrowed, share, sheets, facts, design, partial(main_hashes, plan), about)


def shared_table(table: Table, unit: Unit, options: Options, share: Share, *, simulated: bool = False) -> SharedReport:
    """Analyse a table of results from elsewhere, or of scored masks, narrowed. Raises InputError if nothing may be
    shared."""
    narrowed = _narrowed(table.rows, options.undefined, share)
    found = _computed(narrowed, narrowed.rows, unit, _renamed_options(options, narrowed), share, simulated=simulated)
    sheets = table_sheets(replace(table, rows=tuple(_rows_by_site(narrowed))), found)
    scored = table.scored
    masks = mask_meanings(scored.definition, scored.definition.label()) if scored else ()
    about = {
        "title": page_words.table_report_title(table.name),
        "simulated": simulated,
        "missing": 0,
        "planned": 0,
        "meanings": (*masks, *_meanings(found, options.undefined)),
    }
    return _written(found, narrowed, share, sheets, (), (), partial(table_hashes, table), about)


def _narrowed(rows: Sequence[Row], undefined: Undefined, share: Share, sites: Iterable[str] = ()) -> Narrowed:
    narrowed = narrow(rows, undefined, share, sites)
    if not narrowed.rows:
        raise InputError(words.nothing_left(len({row.patient for row in rows}), share))
    return narrowed


def _computed(
    narrowed: Narrowed, planned: Sequence[Cell | Row], unit: Unit, options: Options, share: Share, *, simulated: bool
) -> Statistics:
    """All numbers of the narrowed rows; undefined values that count as the worst were counted when they were
    narrowed."""
    found = statistics(narrowed.rows, planned, unit, options, simulated)
    own = rows_by_condition(narrowed.rows)
    sites = cross_site(own, conditions(planned), "exclude", share.smallest, narrowed.sites)
    return replace(found, further=replace(found.further, cross_site=sites))


def _meanings(found: Statistics, undefined: Undefined) -> tuple[tuple[str, str], ...]:
    """Terms and meanings, with undefined values as the experiment counts them."""
    options = replace(found.supplementary.options, undefined=undefined)
    return meanings(replace(found, supplementary=replace(found.supplementary, options=options)))


def _rows_by_site(narrowed: Narrowed) -> list[SharedRow]:
    models = {condition_of(_renamed(model, narrowed)) for model in narrowed.by_site}
    return [row for row in narrowed.rows if row.site in narrowed.sites and condition_of(row) in models]


def _renamed(axes: Axed, narrowed: Narrowed) -> Axed:
    return axes.model_copy(update=narrowed.renamed(axes.model_dump(include={"train_site", "test_site"})))


def _renamed_options(options: Options, narrowed: Narrowed) -> Options:
    """What the experiment declares, with the sites by their shown names."""
    names = narrowed.site_names
    target = options.target
    if target is not None and target.sites:
        target = target.model_copy(update={"sites": tuple(names.get(site, site) for site in target.sites)})
    endpoints = {
        name: declared.model_copy(
            update={arm: _renamed(way, narrowed) for arm in _WAYS if (way := getattr(declared, arm)) is not None}
        )
        for name in ("endpoint", "first_endpoint")
        if (declared := getattr(options, name)) is not None
    }
    return replace(options, undefined="exclude", trainings={}, target=target, **endpoints)


def _written(
    found: Statistics,
    narrowed: Narrowed,
    share: Share,
    sheets: Mapping[str, Sheets],
    facts: Sequence[StudyFacts],
    design: Sequence[Illustration],
    hashes: Callable[[Digest], Sequence[Hash]],
    about: Mapping[str, Any],
) -> SharedReport:
    """Let tables and figures out through the door, and write the page of them."""
    cohort = shared_cohort_sheet(facts, narrowed, share)
    every = {**sheets, "cohort": {"patients-by-site": cohort} if cohort else {}}
    out = let_out(every, share, narrowed.sites)
    figures = tuple(_as_png(one) for one in (*_figures(found, share), *design) if one.section in _FIGURES)
    tables = files_of({name: sheet for own in out.values() for name, sheet in own.items()})
    answer = _answer(answer_text(found.answer), share)
    files = {
        **{f"tables/{name}": text.encode() for name, text in tables.items()},
        **{f"figures/{one.name}.png": one.png for one in figures},
        "answer.txt": f"{answer.text()}\n".encode(),
    }
    digest = report_name("", files)
    shown = Shown(digest=digest, sheets=out, figures=figures)
    listed = hashes_sheet(file_hashes(files), table_words.EVERY_FILE_HASH)
    content = content_of(str(about["title"]), found, shown, hashes(digest), listed) | {
        "answer": answer,
        "about": words.about(share),
        "left_out": words.left_out(narrowed, share),
        "origin": page_words.FROM_NARROWED,
    }
    html = page("shared.html.j2", {**content, **about})
    performance = [as_markdown(sheet) for sheet in out["performance"].values()]
    return SharedReport({**files, PAGE: html.encode()}, answer.text(), "\n".join(performance))


def _figures(found: Statistics, share: Share) -> Iterable[Illustration]:
    for one in illustrate_numbers(found):
        if one.section != "sites":
            yield one
    yield from cross_site_pictures(found.further.cross_site, lambda n: f"n {words.at_least(n, share.smallest)}")


def _as_png(figure: Illustration) -> Illustration:
    shown = replace(figure.in_page, inline=inline_png(figure.png, figure.in_page.title))
    return replace(figure, svg=b"", in_page=shown)


def _answer(told: AnswerText, share: Share) -> AnswerText:
    """The headline, which tells no count, and of all other sentences those that tell none."""

    def kept(lines: Iterable[str]) -> tuple[str, ...]:
        return tuple(line for line in lines if not words.tells_patients(line, share))

    return AnswerText(
        headline=told.headline,
        picture=told.picture,
        notes=kept(told.notes),
        secondary=kept(told.secondary),
        paper=(),
        curves=(),
        findings=(),
        cautions=kept(told.cautions),
    )
