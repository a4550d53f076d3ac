"""Show progress: one line that is rewritten on a terminal, one line per change in a log file."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jobs.shared.console import notes

TICK_S = 1.0
"""Interval at which the clock advances while nothing else changes."""


def minutes(seconds: float) -> str:
    """Format a duration: `1:05`, `12:40`, `3:02:09`."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


class Line:
    """A status line: `say` replaces its text, `close` ends it."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._event: object = None

    def say(self, text: str, *, event: object) -> None:
        """Show `text`. In a log file, write it only if `event` differs from the previous one."""
        if self._terminal:
            width = shutil.get_terminal_size().columns
            sys.stderr.write(f"\r\x1b[2K{text[: width - 1]}")
        elif event != self._event:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()
        self._event = event

    def close(self) -> None:
        """End the line."""
        if self._terminal and self._event is not None:
            sys.stderr.write("\n")


@contextmanager
def steps(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Yield `step(done, total, name)`, which shows the progress and the remaining time of step-by-step work.

    What passes before the last call with nothing done is start-up; the remaining time is estimated without it.
    """
    line, start = Line(), time.monotonic()
    began = start
    ended, one_at_a_time = threading.Event(), threading.Lock()
    at = (0, 0, "")

    def tell() -> None:
        done, total, name = at
        elapsed = time.monotonic() - start
        left = (
            f", about {minutes((elapsed - (began - start)) / done * (total - done))} left" if 0 < done < total else ""
        )
        named = f" {name}" if name else ""
        with one_at_a_time:
            twentieth = 20 * done // max(total, 1)  # in a log, thousands of objects are no lines
            line.say(
                f"{what}: {done}/{total}{named} [{minutes(elapsed)}{left}]", event=(done if name else twentieth, name)
            )

    def step(done: int, total: int, name: str) -> None:
        nonlocal at, began
        if done == 0:
            began = time.monotonic()
        at = (done, total, name)
        tell()

    def tick() -> None:
        while not ended.wait(TICK_S):
            if at[1]:
                tell()

    clock = threading.Thread(target=tick, daemon=True)
    clock.start()
    try:
        yield step
    finally:
        ended.set()
        clock.join()
        line.close()


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Print the title of a stage of a long command, and how long it took."""
    notes.print(f"\n{title}", style="bold")
    start = time.monotonic()
    yield
    notes.print(f"took {minutes(time.monotonic() - start)}", style="dim")
