"""A GPU in; how fast this project's U-Net trains and predicts on it, as a Markdown table, out.

    python -m tests.benchmarks.gpu --out gpu.md              everything, within 8 minutes
    python -m tests.benchmarks.gpu --smoke                   two batch sizes, within 2 minutes
    python -m tests.benchmarks.gpu --device cpu --tiny       a rehearsal with a small network, within one minute
    python -m tests.benchmarks.gpu --ray                     Ray Train beside plain torch (gpu_ray)

Checks come first, then the rows, the most important first; each is printed as soon as it is there. A row that runs out
of memory or fails says so, and the next one follows. Needs torch, pydantic, numpy, scipy, safetensors and obstore;
from a checkout that is not installed: `PYTHONPATH=platform:.`.

Exit status 1: a check or a row failed (memory that does not suffice, and operations that refuse to be deterministic,
are results); 2: no such device.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TextIO

import torch

from lesionlab.model import devices
from lesionlab.model.devices import device_name
from lesionlab.training import compiling
from lesionlab.training.loop import configure_torch
from tests.benchmarks.gpu_checks import checks
from tests.benchmarks.gpu_rows import Case, Measured, cases
from tests.benchmarks.gpu_step import PAPER, TINY, Bench, Precision, Sizes

PEAK_TFLOPS: dict[Precision, float] = {"fp32": 67, "tf32": 494.5, "bf16": 989}
"""NVIDIA's data sheets of the H100 and H200, SXM, without sparsity."""

PEAK_KNOWN_OF = ("NVIDIA H100 80GB HBM3", "NVIDIA H200")
"""The names that these two boards report; PCIe and NVL boards have other names and are slower."""

LAST_START = 0.95
"""Share of the minutes after which no row begins, so that the last one ends in time."""

COLUMNS = {
    "what": 34,
    "precision": 13,
    "memory format": 16,
    "batch": 5,
    "median ms": 9,
    "range ms": 19,
    "n": 2,
    "patches/s": 9,
    "peak GiB": 8,
    "TFLOP/s": 7,
    "of peak": 7,
    "note": 0,
}
"""And the width that the terminal shows each with."""


@dataclass(frozen=True)
class Sheet:
    """The terminal, and the file beside it where there is one."""

    file: TextIO | None

    def say(self, line: str) -> None:
        print(line, flush=True)
        if self.file is not None:
            print(line, file=self.file, flush=True)

    def row(self, *cells: str) -> None:
        self.say(
            "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(cells, COLUMNS.values(), strict=True)) + " |"
        )


def main() -> int:
    chosen = options().parse_args()
    device = torch.device(chosen.device or "cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        print("gpu: wanted a CUDA device, found none; use --device cpu --tiny for a rehearsal", file=sys.stderr)
        return 2
    minutes = chosen.minutes if chosen.minutes is not None else 1.5 if chosen.smoke else 8.0
    # cuBLAS reads it once; without it the deterministic mode refuses every matrix product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with ExitStack() as stack:
        sheet = Sheet(stack.enter_context(chosen.out.open("w", encoding="utf-8")) if chosen.out else None)
        if chosen.ray:
            from tests.benchmarks import gpu_ray

            bench = Bench(device, sizes_of(chosen))
            for line in heading(bench):
                sheet.say(line)
            return gpu_ray.measure(device, tiny=chosen.tiny, rows=chosen.rows, say=sheet.say)
        return measure(Bench(device, sizes_of(chosen)), sheet, minutes * 60, chosen.rows, not chosen.no_checks)


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda")
    parser.add_argument("--tiny", action="store_true", help="a small network and small patches")
    parser.add_argument("--smoke", action="store_true", help="two batch sizes, few repeats, within 2 minutes")
    parser.add_argument(
        "--minutes", type=float, help="rows that do not fit in are skipped; default 8, with --smoke 1.5"
    )
    parser.add_argument(
        "--rows", metavar="REGEX", default="", help="only rows whose first four columns match, in order"
    )
    parser.add_argument("--ray", action="store_true", help="Ray Train beside plain torch, and nothing else; needs Ray")
    parser.add_argument("--no-checks", action="store_true", help="rows alone, after a run whose checks passed")
    parser.add_argument("--out", type=Path, help="write the Markdown here as well")
    return parser


def sizes_of(chosen: argparse.Namespace) -> Sizes:
    sizes = TINY if chosen.tiny else PAPER
    return replace(sizes, batches=(8, 2), row_seconds=min(1.0, sizes.row_seconds)) if chosen.smoke else sizes


def measure(bench: Bench, sheet: Sheet, seconds: float, rows: str, checked: bool) -> int:
    """Everything, onto the sheet; the exit status."""
    if bench.device.type == "cpu":  # a rehearsal goes through every form without waiting for generated code
        devices.on_gpu, compiling.BACKEND = (lambda device: True), "eager"
    last_start = time.monotonic() + LAST_START * seconds
    configure_torch(bench.worker)
    for line in heading(bench):
        sheet.say(line)
    failed = 0
    try:
        for check in checks(bench) if checked else ():
            failed += not check.passed
            sheet.say(check.line())
    except Exception as error:  # the rows still tell something
        failed += 1
        sheet.say(f"- FAILED: {told(error)}")
    sheet.say("")
    sheet.row(*COLUMNS)
    sheet.say("|" + "---|" * len(COLUMNS))
    skipped = 0
    for case in (case for case in cases(bench) if re.search(rows, " ".join(named(case)))):
        left = last_start - time.monotonic()
        if left <= 0:
            skipped += 1
            sheet.row(*named(case), *[""] * 7, "skipped: no time left")
            continue
        release(bench)
        measured, failure = guarded(partial(case.measure, left))
        failed += failure.startswith("error")
        sheet.row(*named(case), *(cells(bench.device, case, measured) if measured else [*[""] * 7, failure]))
    sheet.say("")
    sheet.say(f"{f'{failed} checks or rows FAILED' if failed else 'No failure'}; {skipped} rows skipped.")
    return 1 if failed else 0


def heading(bench: Bench) -> Iterator[str]:
    """What was measured where, and how to read it."""
    sizes = bench.sizes
    yield f"# lesionlab on {device_name(bench.device)}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    yield ""
    yield (
        f"- machine: {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {memory(bench.device)}"
        f"driver {driver(bench.device)}"
    )
    yield (
        f"- Python {platform.python_version()}, torch {torch.__version__}, CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()}"
    )
    yield (
        f"- U-Net of depth {sizes.architecture.depth}, {sizes.architecture.base_channels} base channels; patches of "
        f"{sizes.patch_voxels}³ voxels, one channel; head of {'×'.join(map(str, sizes.head_voxels))} voxels"
    )
    on_gpu = bench.device.type == "cuda"
    yield (
        f"- times by {'device events' if on_gpu else 'wall clock'}: median and range of n runs after two to warm up; "
        f"peak memory {'of the tensors' if on_gpu else 'of the whole process until then'}; TFLOP of the convolutions; "
        "a patch of `whole head` is a window, and its batch the windows of one pass"
    )
    yield ""


def memory(device: torch.device) -> str:
    """Of the GPU, as a part of a sentence."""
    if device.type != "cuda":
        return ""
    return f"GPU of {torch.cuda.get_device_properties(device).total_memory / 2**30:.0f} GiB, "


def driver(device: torch.device) -> str:
    """Version of NVIDIA's driver; `unknown` where `nvidia-smi` does not tell, `none` on a CPU."""
    if device.type != "cuda":
        return "none"
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(query, check=True, capture_output=True, text=True, timeout=20).stdout.split()
        return answer[0] if answer else "unknown"
    return "unknown"


def guarded(work: Callable[[], Measured]) -> tuple[Measured | None, str]:
    """What was measured, or why there is nothing: `out of memory`, `error: …`."""
    try:
        return work(), ""
    except Exception as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "out of memory" in str(error).lower():
            return None, "out of memory"
        return None, f"error: {told(error)}"


def told(error: Exception) -> str:
    """In one line that fits into a table."""
    return f"{type(error).__name__}: {error}".splitlines()[0].replace("|", "/")[:200]


def release(bench: Bench) -> None:
    """Give back the memory of the checks or of the last row."""
    gc.collect()
    if bench.device.type == "cuda":
        with suppress(RuntimeError):  # a device that a row has broken says so in the next row
            torch.cuda.empty_cache()


def named(case: Case) -> tuple[str, ...]:
    return case.what, case.precision, case.layout, str(case.batch)


def cells(device: torch.device, case: Case, measured: Measured) -> tuple[str, ...]:
    """From the median to the note."""
    times_ms = sorted(seconds * 1000 for seconds in measured.seconds)
    if not times_ms:
        return (*[""] * 7, measured.note)
    median_s = measured.median
    tflops = measured.flop / median_s / 1e12
    peak = PEAK_TFLOPS.get(case.precision) if device_name(device) in PEAK_KNOWN_OF else None
    return (
        f"{median_s * 1000:.2f}",
        f"{times_ms[0]:.2f}–{times_ms[-1]:.2f}",
        str(len(times_ms)),
        f"{measured.patches / median_s:.2f}",
        f"{measured.peak_gib:.2f}",
        f"{tflops:.3g}",
        f"{tflops / peak:.1%}" if peak else "–",
        measured.note,
    )


if __name__ == "__main__":
    sys.exit(main())
