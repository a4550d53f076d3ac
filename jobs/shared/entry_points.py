"""Run a command: turn errors that a user can fix into one message each and exit code 1."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import typer

from jobs.shared.console import notes
from jobs.shared.streams import run_to_the_end
from lesionlab.errors import InputError, LesionlabError


def with_error_messages(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a command: print the faults of a LesionlabError and exit with code 1; let any other exception through.

    A number among the options that is not finite is such a fault, because an infinite one passes an open range.
    """

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            refuse_unless_finite(kwargs)
            return function(*args, **kwargs)
        except LesionlabError as error:
            for fault in error.args:
                notes.print(f"error: {fault}", style="bold red")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interrupt:
            notes.print("stopped; finished work is kept: run the same command again to continue")
            raise typer.Exit(130) from interrupt

    return run


def refuse_unless_finite(options: Mapping[str, Any]) -> None:
    """Raise InputError that names every option whose value is infinite or not a number."""
    numbers = {name: value for name, value in options.items() if isinstance(value, float)}
    faults = [
        f"--{name.replace('_', '-')}: wanted a finite number, found {value}"
        for name, value in numbers.items()
        if not math.isfinite(value)
    ]
    if faults:
        raise InputError(*faults)


def run_as_module(function: Callable[..., Any]) -> None:
    """Entry point of `python -m jobs.<command>`."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(with_error_messages(function))
    sys.argv[0] = f"python -m jobs.{Path(sys.argv[0]).stem}"
    run_to_the_end(app)
