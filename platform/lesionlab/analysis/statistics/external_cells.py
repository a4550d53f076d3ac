"""Read the numbers of an external table as spreadsheets and statistics programs write them; say each fault once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lesionlab.delimited import is_missing
from storage_schemas.metrics import FRACTIONS, METRICS

ROUNDING = 1e-9
"""A fraction this little below 0 or above 1 is a sum of rounded numbers, such as 1.0000000000000002."""
LINES_LISTED = 3
_COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")
_BELOW_TEN = re.compile(r"[-+]?0?,\d+")
_PERCENT = re.compile(r"([-+]?\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True)
class Fault:
    """One fault of one line."""

    line: int
    column: str
    wanted: str
    found: str = ""


def value_in(column: str, cell: str, divider: str) -> str | float | None:
    """The cell without formatting; None if it says that there is no value. What is not understood is left as it is.

    A comma is a decimal comma where commas do not separate cells, and elsewhere only in `0,35`, which cannot be a
    thousand. `55%` is 0.55.
    """
    text = cell.strip()
    if is_missing(text):
        return None
    if column not in METRICS:
        return text
    if (_COMMA if divider != "," else _BELOW_TEN).fullmatch(text.rstrip("% ")):
        text = text.replace(",", ".")
    if column not in FRACTIONS:
        return text
    if percent := _PERCENT.fullmatch(text):
        text = repr(float(percent[1]) / 100)
    return _rounded(text)


def _rounded(text: str) -> str | float:
    """A fraction beyond 0 or 1 only by rounding becomes 0 or 1."""
    try:
        number = float(text)
    except ValueError:
        return text
    nearest = min(max(number, 0.0), 1.0)
    return nearest if number != nearest and abs(number - nearest) <= ROUNDING else text


def said_once(faults: Iterable[Fault]) -> list[str]:
    """The faults in their order; the same one of several lines is said at the first, with the others' numbers."""
    alike: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        alike.setdefault((fault.column, fault.wanted), []).append(fault)
    return [_said(group) for group in alike.values()]


def _said(group: list[Fault]) -> str:
    first, lines = group[0], list(dict.fromkeys(fault.line for fault in group[1:]))
    text = f"line {first.line}{f', {first.column}' if first.column else ''}: {first.wanted}"
    text += f"; found {first.found}" if first.found else ""
    text += _percent_hint(group)
    if not lines:
        return text
    listed = ", ".join(map(str, lines[:LINES_LISTED])) + (", …" if len(lines) > LINES_LISTED else "")
    return f"{text} (the same on {len(lines)} more line{'s' * (len(lines) > 1)}: {listed})"


def _percent_hint(group: list[Fault]) -> str:
    """What to do if the numbers of a column are percentages."""
    large = [fault for fault in group if re.fullmatch(r"'(?:\d{1,2}(?:\.\d+)?|100(?:\.0+)?)'", fault.found)]
    above_one = [fault for fault in large if float(fault.found.strip("'")) > 1]
    if group[0].column not in FRACTIONS or not above_one:
        return ""
    return "; if these are percentages, divide the column by 100 or write 55%"
