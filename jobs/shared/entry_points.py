"""Run a command: turn errors that a user can fix into one message each, and the end into an exit code."""

from __future__ import annotations

import errno
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import typer

from jobs.shared.console import notes
from jobs.shared.streams import run_to_the_end
from lesionlab.errors import InputError, LesionlabError

OF_THE_PATH = {
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE),
}
"""Errors of the operating system that a user mends by another path, a permission or more space."""

FAILED, WRONGLY_CALLED, NO = 1, 2, 3
"""Exit codes beside 0. FAILED: an error; its message says what to do. WRONGLY_CALLED: typer's own. NO: the command did
its work, and the answer is no. A command that was stopped ends with 128 and the number of the signal."""

COMMAND: ContextVar[str] = ContextVar("command", default="python")
"""Name of the command that runs."""


class Terminated(KeyboardInterrupt):
    """Another process asked this one to end (SIGTERM): a cluster that takes the node away, or `kill`."""


def with_error_messages(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a command: print the faults of a LesionlabError and exit with FAILED; let any other exception through.

    A path that the system refuses (too long, no permission, disk full) is a fault too. Ctrl-C and SIGTERM end it in the
    same way: claims are given back, and the message says how to go on. A number among the options that is not finite is
    such a fault, because an infinite one passes an open range.
    """

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        running = COMMAND.set(function.__name__)
        try:
            refuse_unless_finite(kwargs)
            with _no_empty_store(kwargs.get("store")), _ending_when_told():
                return function(*args, **kwargs)
        except LesionlabError as error:
            for fault in error.args:
                notes.print(f"error: {fault}", style="bold red")
            raise typer.Exit(FAILED) from error
        except OSError as error:
            if error.errno not in OF_THE_PATH or not isinstance(error.filename, str | Path):
                raise
            notes.print(f"error: {error.filename}: {error.strerror}; correct the path, or choose another place")
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt as interrupt:
            notes.print("stopped; finished work is kept: run the same command again to continue")
            told = signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT
            raise typer.Exit(128 + told) from interrupt
        finally:
            COMMAND.reset(running)

    return run


@contextmanager
def _no_empty_store(uri: object) -> Iterator[None]:
    """Remove the folder of this store again, and those above it that were created, if nothing was written into it."""
    absent: list[Path] = []
    if isinstance(uri, str) and uri.startswith("file:///"):
        from lesionlab.store.objects import folder_of  # imported here: help need not wait for it

        place = folder_of(uri)
        absent = [path for path in (place, *place.parents) if not os.path.exists(path)]
    try:
        yield
    finally:
        with suppress(OSError):  # not there, or not empty
            for path in absent:
                path.rmdir()


@contextmanager
def _ending_when_told() -> Iterator[None]:
    """SIGTERM raises Terminated; only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def answer_no(*reasons: str) -> NoReturn:
    """End a command that did all of its work and found that what it was asked does not hold: its exit code is NO."""
    for reason in reasons:
        notes.print(f"no: {reason}", style="bold red")
    raise typer.Exit(NO)


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
