"""Rows of work, each done by us and by peers on the same input, in; one table of CPU times side by side out.

A row first checks that all contenders do the same work. Then they take turns in one run, after one turn to warm up, so
that a busy machine slows all of them alike. A time is the CPU time of the process and its children with one thread of
torch; the table gives medians with their range. Which peers are missing is said; nothing of them is needed to run it.
"""

from __future__ import annotations

import importlib
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

PEERS = ("monai", "dynamic_network_architectures", "batchgeneratorsv2", "torchio", "panoptica", "fastparquet")


@dataclass(frozen=True)
class Contender:
    """Somebody who does the work of a row once; `work` returns the result, for the check."""

    name: str
    work: Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One kind of work; ours comes first among the contenders."""

    name: str
    work: str
    contenders: Sequence[Contender]
    check: Callable[[], str]
    """Says what is the same for all contenders. Raises AssertionError if they do not do the same work."""
    bound_s: float | None = None
    """Time below which nobody could come."""
    bound: str = ""
    missing: tuple[str, ...] = ()
    """Peers that are not installed."""
    runs: int = 5


@dataclass
class Measured:
    """CPU seconds of each turn, by contender."""

    row: Row
    same: str = ""
    seconds: dict[str, list[float]] = field(default_factory=dict)
    failure: str = ""

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def lines(self) -> Iterator[str]:
        """One line of the table for each contender."""
        if self.failure:
            yield f"| {self.row.name} | {self.row.work} | | | | | FAILED: {self.failure} |"
            return
        ours = self.row.contenders[0].name
        share = (
            f"; {self.row.bound_s / self.median(ours):.2f} of the bound ({self.row.bound})" if self.row.bound_s else ""
        )
        missing = f"; not installed: {', '.join(self.row.missing)}" if self.row.missing else ""
        for name, seconds in self.seconds.items():
            median = self.median(name)
            ratio = f"{median / self.median(ours):.2f}" if self.median(ours) else ""
            note = f"{self.same}{share}{missing}" if name == ours else ""
            spread = f"{1e3 * min(seconds):.4g}–{1e3 * max(seconds):.4g}"
            yield f"| {self.row.name} | {self.row.work} | {name} | {1e3 * median:.4g} | {spread} | {ratio} | {note} |"


HEAD = "| row | work | who | median ms | range ms | times ours | checked; bound |\n|---|---|---|---|---|---|---|"


def measure(row: Row) -> Measured:
    """Check that the work is the same, warm up, then let the contenders take turns."""
    found = Measured(row)
    try:
        found.same = row.check()
    except Exception as error:  # a peer may raise anything
        found.failure = f"{type(error).__name__}: {' '.join(str(error).split())}".replace("|", "/")[:200]
        return found
    for _ in range(row.runs):
        for contender in row.contenders:
            found.seconds.setdefault(contender.name, []).append(cpu_seconds(contender.work))
    return found


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time that this process and its finished children take for it."""
    before = time.process_time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = time.process_time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    children = after[1].ru_utime - before[1].ru_utime + after[1].ru_stime - before[1].ru_stime
    return after[0] - before[0] + children


def absent(*modules: str) -> tuple[str, ...]:
    """Those of these modules that are not installed."""
    missing = []
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(module.partition(".")[0])
    return tuple(missing)


def machine() -> str:
    """The machine and the versions, for the head of a table."""
    versions = [f"Python {platform.python_version()}"]
    for package in ("torch", "numpy", "scipy", "pyarrow", *PEERS):
        with suppress(PackageNotFoundError):
            versions.append(f"{package} {version(package)}")
    return f"{platform.system()} {platform.machine()}, {_processor()}; {', '.join(versions)}"


def _processor() -> str:
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
