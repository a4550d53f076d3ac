"""Lay out how models do at the sites that they were not trained on."""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.analysis.sheets.listings import varying_axes
from lesionlab.analysis.sheets.sheet import Sheet, columns, compact
from lesionlab.analysis.statistics.cross_site import CrossSite, Tested, Trained
from lesionlab.analysis.words import cross_site as words
from lesionlab.analysis.words.models import METRICS, model_name
from lesionlab.analysis.words.numbers import fixed, interval, signed
from storage_schemas.axes import text_of
from storage_schemas.metrics import PRIMARY, Metric

Numbers = dict[str, float | None]


def cross_site_sheets(found: Sequence[CrossSite]) -> dict[str, Sheet]:
    """Lay out the matrix of each metric and the gaps, by file name; nothing where the design does not compare sites."""
    if not found:
        return {}
    matrices = {
        f"cross-site-{metric}": _matrix([one for one in found if one.metric == metric], metric) for metric in PRIMARY
    }
    return matrices | {"cross-site-gaps": _gaps(found)}


def _matrix(found: Sequence[CrossSite], metric: Metric) -> Sheet:
    axes = varying_axes([one.model for one in found])
    sites = sorted({site for one in found for site in one.sites})
    return Sheet(
        words.matrix_title(metric),
        (
            *columns(words.MODEL, words.SIZE, *axes.values(), words.TRAINED_ON),
            *columns(*sites, words.EVERYWHERE, group=words.TESTED_ON),
        ),
        tuple(
            (
                *(model_name(one.model), str(one.model.training_size)),
                *(text_of(getattr(one.model, name)) for name in axes),
                words.trained_on(row.on),
                *(words.cell(tested) for tested in _tested(row, sites)),
            )
            for one in found
            for row in one.rows
        ),
        heads=3 + len(axes),
        notes=words.MATRIX_NOTES,
        sortable=True,
        numbers=tuple(
            {
                f"{site or 'everywhere'}_{name}": value
                for site, tested in zip((*sites, ""), _tested(row, sites), strict=True)
                for name, value in _numbers(tested).items()
            }
            for one in found
            for row in one.rows
        ),
    )


def _tested(row: Trained, sites: Sequence[str]) -> list[Tested]:
    return [*(row.at.get(site, Tested(None, 0)) for site in sites), row.everywhere]


def _numbers(tested: Tested) -> Numbers:
    mean = tested.mean
    bounds = mean.interval if mean else None
    return {
        "mean": mean.mean if mean else None,
        "low": bounds.low if bounds else None,
        "high": bounds.high if bounds else None,
        "n": mean.n if mean else None,
    }


def _gaps(found: Sequence[CrossSite]) -> Sheet:
    axes = varying_axes([one.model for one in found])
    model, size, *rest = words.GAP_COLUMNS
    every = [(one, gap) for one in found for gap in one.gaps]
    return compact(
        Sheet(
            words.GAPS,
            columns(model, size, *axes.values(), *rest),
            tuple(
                (
                    *(model_name(one.model), str(one.model.training_size)),
                    *(text_of(getattr(one.model, name)) for name in axes),
                    *(METRICS[one.metric], gap.site or words.EVERYWHERE, words.comparison(gap)),
                    *(fixed(gap.unseen, 2), fixed(gap.seen, 2), signed(gap.difference, 2), interval(gap.interval, 2)),
                    str(gap.patients),
                )
                for one, gap in every
            ),
            heads=5 + len(axes),
            notes=(words.GAPS_NOTE,),
            sortable=True,
            numbers=tuple(
                {
                    "unseen": gap.unseen,
                    "seen": gap.seen,
                    "difference": gap.difference,
                    "difference_low": gap.interval.low if gap.interval else None,
                    "difference_high": gap.interval.high if gap.interval else None,
                }
                for _, gap in every
            ),
        )
    )
