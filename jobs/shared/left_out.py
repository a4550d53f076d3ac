"""Say which sites' studies a plan does without, because their policies forbid the purpose."""

from __future__ import annotations

from collections.abc import Iterable

from jobs.shared.console import notes
from storage_schemas.policies import LeftOut


def note_left_out(found: Iterable[LeftOut]) -> None:
    """One line for each, on standard error."""
    for one in found:
        notes.print(one.text(), style="yellow")
