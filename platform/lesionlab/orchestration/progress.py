"""Track the progress of a sweep: cells done, failed, running and left, and the remaining time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from storage_schemas.leases import FailureKind

HEARTBEAT_S = 2.0
"""Maximum interval between progress reports, so that elapsed times advance."""


@dataclass(frozen=True)
class SweepCell:
    """One run of a sweep: its id, the task for its worker, and its relative cost (to estimate the remaining time)."""

    name: str
    task: dict[str, str]
    cost: float = 1.0


@dataclass(frozen=True)
class CellOutcome:
    """How a cell ended: completed, failed with a message, or left to another submission that executes it."""

    name: str
    error: str | None = None
    held: str | None = None
    """Who executes it, and since when."""
    kind: FailureKind | None = None
    """Of a failure."""


@dataclass(frozen=True)
class RunningCell:
    """Progress of a cell: steps done, steps in total, mean loss of the last epoch (None during the first)."""

    name: str
    step: int = 0
    steps: int = 0
    loss: float | None = None


@dataclass(frozen=True)
class SweepProgress:
    """Progress of a sweep."""

    done: int
    failed: int
    running: tuple[RunningCell, ...]
    left: int
    """Cells that have not started."""
    elapsed_s: float
    remaining_s: float | None
    """Estimated from the cost of the finished work; None before any work is finished."""
    waiting: str = ""
    """What the sweep waits for, if nothing is running: `1 GPU per run, 0 there`."""
    waiting_s: float = 0.0
    """For how long it has waited."""


class Watch:
    """Collect reports of the cells and call `on_change` with the sweep's progress."""

    def __init__(self, cells: Iterable[SweepCell], on_change: Callable[[SweepProgress], None]) -> None:
        self._costs = {cell.name: cell.cost for cell in cells}
        self._on_change = on_change
        self._began = self._told = time.monotonic()
        self._first: tuple[float, float] | None = None
        """When the first step was reported, and the work done by then: the time before is start-up."""
        self._running: dict[str, RunningCell] = {}
        self._ended: set[str] = set()
        self._waiting, self._waits_since = "", self._began
        self.errors: dict[str, str] = {}
        self.kinds: dict[str, FailureKind] = {}
        """Kinds of the errors, where they are known."""
        self.held: dict[str, str] = {}
        """Cells that another submission executes, with who and since when."""

    @property
    def idle(self) -> bool:
        """Whether cells are left and none is running."""
        return not self._running and len(self._ended) < len(self._costs)

    def waits(self, reason: str) -> None:
        """Record what the sweep waits for; empty: it does not wait."""
        if reason != self._waiting:
            if not self._waiting:
                self._waits_since = time.monotonic()
            self._waiting = reason
            self._tell()

    def start(self, name: str) -> None:
        """Record that a cell started, or started again."""
        self._running[name] = RunningCell(name)
        self.held.pop(name, None)
        self._tell()

    def result(self, name: str, result: Mapping[str, float]) -> None:
        """Record a cell's `step`, `steps` and `loss`."""
        self._running[name] = RunningCell(name, int(result["step"]), int(result["steps"]), result["loss"])
        self._tell()

    def lose(self, name: str) -> None:
        """Record that a cell's process was lost; the cell is left to start again."""
        self._running.pop(name, None)
        self._tell()

    def end(self, name: str, error: str | None = None) -> None:
        """Record that a cell ended, successfully or with an error."""
        if error:
            self.errors.setdefault(name, error)
        self._running.pop(name, None)
        self.held.pop(name, None)
        self._ended.add(name)
        self._tell()

    def leave(self, name: str, holder: str) -> None:
        """Record that a cell is left to another submission for now."""
        self.held[name] = holder
        self._running.pop(name, None)
        self._tell()

    def tick(self) -> None:
        """Report again if the last report is older than HEARTBEAT_S."""
        if time.monotonic() - self._told > HEARTBEAT_S:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        elapsed_s = self._told - self._began
        spent = sum(self._costs[name] for name in self._ended)
        spent += sum(self._costs[cell.name] * cell.step / cell.steps for cell in self._running.values() if cell.steps)
        if spent and self._first is None:
            self._first = (self._told, spent)
        self._on_change(
            SweepProgress(
                done=len(self._ended) - len(self._ended & self.errors.keys()),
                failed=len(self._ended & self.errors.keys()),
                running=tuple(self._running.values()),
                left=len(self._costs) - len(self._ended) - len(self._running),
                elapsed_s=elapsed_s,
                remaining_s=self._remaining_s(sum(self._costs.values()) - spent, spent),
                waiting=self._waiting,
                waiting_s=self._told - self._waits_since if self._waiting else 0.0,
            )
        )

    def _remaining_s(self, left: float, spent: float) -> float | None:
        """Time for the work left, at the rate since the first report; None before there is a second."""
        if self._first is None or spent <= self._first[1]:
            return None
        began, spent_before = self._first
        return (self._told - began) * left / (spent - spent_before)
