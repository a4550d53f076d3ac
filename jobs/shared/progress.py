"""Progress for people: one line that rewrites itself on a terminal, one line a change in a log file."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jobs.shared.command_line import notes

TICK_S = 1.0
"""So often the clock moves while nothing else happens."""


def minutes(seconds: float) -> str:
    """`1:05`, `12:40`, `3:02:09`."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


class Line:
    """The status line; `say` replaces it, `close` leaves the last one standing."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._event: object = None

    def say(self, text: str, *, event: object) -> None:
        """Show `text`. A log file gets a line only where the `event` is another than the one before, not each tick."""
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
    """Yields `step(done, total, name)` for work that goes one by one, with the time that is left; the clock ticks."""
    line, start = Line(), time.monotonic()
    ended, one_at_a_time = threading.Event(), threading.Lock()
    at = (0, 0, "")

    def tell() -> None:
        done, total, name = at
        elapsed = time.monotonic() - start
        left = f", about {minutes(elapsed / done * (total - done))} left" if 0 < done < total else ""
        named = f" {name}" if name else ""
        with one_at_a_time:
            line.say(f"{what}: {done}/{total}{named} [{minutes(elapsed)}{left}]", event=(done, name))

    def step(done: int, total: int, name: str) -> None:
        nonlocal at
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
    """A titled stage of a long command, with the time that it took."""
    notes.print(f"\n{title}", style="bold")
    start = time.monotonic()
    yield
    notes.print(f"took {minutes(time.monotonic() - start)}", style="dim")
