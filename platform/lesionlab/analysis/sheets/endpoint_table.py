"""Lay out the primary endpoint and the secondary ones: the numbers of the headline, in full precision in the CSV."""

from __future__ import annotations

from lesionlab.analysis.sheets.sheet import Sheet, columns, compact
from lesionlab.analysis.statistics.endpoints import Judgement
from lesionlab.analysis.statistics.headline import Headline
from lesionlab.analysis.words import tables as words
from lesionlab.analysis.words.headline import covers_name, decision_name, interval_text
from lesionlab.analysis.words.models import METRICS, comparison_name, stratum_name
from lesionlab.analysis.words.numbers import NONE, or_dash, probability, signed
from lesionlab.analysis.words.savings import cell


def endpoint_sheet(found: Headline) -> Sheet:
    """One line for each endpoint, the primary one first; the saving stands beside the metric that it is of."""
    primary = found.endpoints.primary
    judged = found.endpoints.every
    return compact(
        Sheet(
            words.ENDPOINTS,
            columns(*words.ENDPOINT_COLUMNS),
            tuple(
                (
                    words.PRIMARY_ENDPOINT if one is primary else words.SECONDARY_ENDPOINT,
                    *(stratum_name(one.stratum), METRICS[one.metric], comparison_name(one.comparison)),
                    *(", ".join(map(str, one.sizes)), str(one.studies), str(one.patients)),
                    signed(one.difference, 2),
                    interval_text(one.interval) if one.interval else NONE,
                    covers_name(one.covers) if one.covers else NONE,
                    *(
                        or_dash(one.degrees),
                        probability(one.p),
                        probability(one.p_holm) if one is not primary else NONE,
                    ),
                    decision_name(one),
                    _saving(found, one),
                )
                for one in judged
            ),
            heads=4,
            notes=words.ENDPOINT_NOTES,
            numbers=tuple(
                {
                    "difference": one.difference,
                    "difference_low": one.interval.low if one.interval else None,
                    "difference_high": one.interval.high if one.interval else None,
                    "p_value": one.p,
                    "p_holm": one.p_holm,
                }
                for one in judged
            ),
        )
    )


def _saving(found: Headline, judged: Judgement) -> str:
    """`21 (95 % CI 15 to 30)`; empty beside other metrics and where there is none to estimate."""
    saving = found.learned.saving if found.learned and judged is found.judged else None
    return "" if saving is None else cell(saving, found.claim)
