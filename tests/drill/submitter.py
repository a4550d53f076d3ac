"""Call `lesionlab` in a process of its own, whose clock may be wrong, and print each step that it hears of.

Usage: `python -m tests.drill.submitter SECONDS COMMAND...`; Python's clock is SECONDS behind.
"""

from __future__ import annotations

import datetime
import sys
import time

from jobs.cli import app
from jobs.shared import execution

behind_s = float(sys.argv[1])
right_clock, right_datetime, right_status = time.time, datetime.datetime, execution.status


class WrongDatetime(right_datetime):
    """Datetimes of a machine whose clock is wrong."""

    @classmethod
    def now(cls, tz=None):
        return right_datetime.now(tz) - datetime.timedelta(seconds=behind_s)


def telling_status(progress, titles, what):
    """Print the steps beside the status line, which is repeated less often in a log."""
    for cell in progress.running:
        print(f"step {cell.step}", flush=True)
    return right_status(progress, titles, what)


execution.status = telling_status
if behind_s:
    from lesionlab.experiments import leases

    time.time = lambda: right_clock() - behind_s
    leases.datetime = WrongDatetime
sys.argv = ["lesionlab", *sys.argv[2:]]
app()
