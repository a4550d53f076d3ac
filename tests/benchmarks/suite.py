"""Every row of the benchmark suite on the CPU, ours beside the peers: `make bench`, `make bench ROW=step`.

`--tiny` rehearses the rows in seconds, without numbers that mean anything. Ends with 1 if a check or a row failed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

import torch

from tests.benchmarks.frame import HEAD, machine, measure

ROWS = ("patches", "step", "head", "scoring", "resampling", "analysis", "startup")
"""Modules of tests.benchmarks.rows."""

PROGRAMS = ("ingestion", "sweep", "ranks")
"""Modules of tests.benchmarks that need Ray and minutes."""


def main(arguments: list[str] | None = None) -> int:
    """Measure the chosen rows; return 1 if one failed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--row", choices=(*ROWS, *PROGRAMS), help=f"this row alone; default: {', '.join(ROWS)}")
    options.add_argument("--tiny", action="store_true", help="a rehearsal on tiny inputs")
    options.add_argument("--out", type=Path, help="a file for the table, too")
    chosen, further = options.parse_known_args(arguments)
    if chosen.row in PROGRAMS:
        program = importlib.import_module(f"tests.benchmarks.{chosen.row}")
        sys.argv = [str(program.__file__), *further]
        program.main()
        return 0
    if further:
        options.error(f"unknown options: {' '.join(further)}")
    torch.set_num_threads(1)
    lines = [f"{machine()}; load before {os.getloadavg()[0]:.1f}", "", HEAD]
    print(*lines, sep="\n", flush=True)
    failed = False
    for name in [chosen.row] if chosen.row else ROWS:
        for row in importlib.import_module(f"tests.benchmarks.rows.{name}").rows(tiny=chosen.tiny):
            found = measure(row)
            failed |= bool(found.failure)
            for line in found.lines():
                lines.append(line)
                print(line, flush=True)
    if chosen.out:
        chosen.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
