"""Do a submission's work on the cluster: what is missing of pretraining, sweep and report."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import CacheOption, PlainOption, StoreOption, connect
from jobs.shared.working import work_on
from lesionlab.errors import InputError


def work(
    store: StoreOption,
    cache: CacheOption,
    submission: Annotated[
        str | None, typer.Argument(metavar="ID", help="The submission's id.", show_default=False)
    ] = None,
    plain: PlainOption = False,
) -> None:
    """Do a submission's work on the cluster (`lesionlab submit` starts it).

    Safe to start again: completed work is skipped, and what was refused is not
    tried again.

    Example: python -m jobs.work 0123456789abcdef
    """
    if submission is None:
        raise InputError("wanted the id of a submission, found none: this is the template; use lesionlab submit")
    console.print(work_on(connect(store), submission, cache, plain=plain))


if __name__ == "__main__":
    run_as_module(work)
