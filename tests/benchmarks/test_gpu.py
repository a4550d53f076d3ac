"""The GPU benchmark: rehearsed whole on a CPU, and seen to notice wrong numbers."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.benchmarks.gpu import guarded
from tests.benchmarks.gpu_step import PAPER, same_bytes, step_flop

ROOT = Path(__file__).resolve().parents[2]

WITHOUT = "import sys; sys.modules.update(dict.fromkeys(('ray', 'boto3', 'ants', 'nibabel')))\n"
RUN = "from tests.benchmarks import gpu; sys.exit(gpu.main())"

PEER = [("step of nnU-Net's PlainConvUNet", "bf16", layout, "8") for layout in ("compiled", "contiguous")]
ROWS = [
    ("step", "bf16", "compiled", "8"),
    *(
        ("step", precision, "contiguous", n)
        for precision in ("bf16", "tf32", "fp32")
        for n in ("2", "4", "8", "16", "32")
    ),
    *(("convolutions alone", "bf16", layout, "8") for layout in ("contiguous", "channels_last_3d")),
    *(("training loop, with its patches", "bf16", layout, "8") for layout in ("contiguous", "compiled")),
    *(("whole head", precision, "contiguous", "1") for precision in ("bf16", "tf32", "fp32")),
    ("whole head", "bf16", "compiled", "1"),
    ("step, default", "bf16", "contiguous", "8"),
    *(("step, deterministic", "bf16", layout, "8") for layout in ("contiguous", "compiled")),
    ("step, deterministic", "fp32", "contiguous", "8"),
    *(("step, autotuned", "bf16", layout, "8") for layout in ("contiguous", "channels_last_3d")),
]

BREAKS = {
    "an Adam that does nothing": (
        "import torch; torch.optim.Adam.step = lambda self: None\n",
        "fp32 loss after 20 steps",
    ),
    "bf16 logits that are twice too large": (
        "from tests.benchmarks.gpu_step import Learner as L; right = L.forward\n"
        "L.forward = lambda self, batch: "
        "[value * (2 if self.precision == 'bf16' else 1) for value in right(self, batch)]\n",
        "bf16 contiguous against fp32 contiguous, logits",
    ),
    "two steps in place of one": (
        "from tests.benchmarks.gpu_step import Learner as L; right = L.step\n"
        "L.step = lambda self, batch: (right(self, batch), right(self, batch))[0]\n",
        "bf16 losses of 3 steps against the training loop's",
    ),
    "a check that raises": (
        "from tests.benchmarks import gpu_checks; gpu_checks.train_epoch = lambda *_: 1 / 0\n",
        "ZeroDivisionError: division by zero",
    ),
}
"""What is done to the code before it runs, and the check that must fail."""


def bench(*options: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run as a process of its own, in which Ray, boto3, ANTs and nibabel cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + before + RUN, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )


def table(markdown: str) -> dict[tuple[str, ...], list[str]]:
    """Each row's cells from the median to the note, by what it measures."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if "|" in line]
    return {tuple(cells[:4]): cells[4:] for cells in lines[2:]}


@pytest.mark.slow
def test_the_rehearsal_measures_every_row_without_ray(tmp_path):
    done = bench("--device", "cpu", "--tiny", "--out", str(tmp_path / "gpu.md"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    assert (tmp_path / "gpu.md").read_text(encoding="utf-8") == done.stdout
    rows = table(done.stdout)
    assert sorted(rows) == sorted(ROWS + PEER)
    for row, (median, spread, count, *rates, _share, note) in rows.items():
        if row in PEER and note.startswith("not measured: No module named"):
            continue  # it is no dependency of ours
        numbers = [float(number) for number in (median, *spread.split("–"), count, *rates)]
        assert all(math.isfinite(number) and number > 0 for number in numbers)
        assert numbers[1] <= numbers[0] <= numbers[2]


@pytest.mark.slow
@pytest.mark.parametrize("broken", BREAKS)
def test_wrong_numbers_are_noticed_and_without_time_every_row_is_skipped_by_name(broken):
    before, noticed = BREAKS[broken]
    done = bench("--device", "cpu", "--tiny", "--minutes", "0", before=before)
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(noticed in line for line in done.stdout.splitlines() if line.startswith("- FAILED"))
    rows = table(done.stdout)
    assert sorted(rows) == sorted(ROWS + PEER)
    assert all(cells == [""] * 7 + ["skipped: no time left"] for cells in rows.values())


def test_rows_are_chosen_by_their_columns():
    done = bench("--device", "cpu", "--tiny", "--no-checks", "--rows", "^step fp32 contiguous (2|4)$")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(table(done.stdout)) == [("step", "fp32", "contiguous", "4"), ("step", "fp32", "contiguous", "2")]
    assert "- ok" not in done.stdout


def test_a_row_without_memory_is_a_result_and_any_other_failure_an_error():
    def fails(error):
        raise error

    assert guarded(lambda: fails(torch.OutOfMemoryError("CUDA out of memory"))) == (None, "out of memory")
    assert guarded(lambda: fails(RuntimeError("cuDNN: a | b\nmore"))) == (None, "error: RuntimeError: cuDNN: a / b")


def test_the_papers_net_takes_1274_gflop_a_patch_of_which_425_are_forward():
    assert round(step_flop(PAPER.architecture, 96, backward=True) / 1e9) == 1274
    assert round(step_flop(PAPER.architecture, 96, backward=False) / 1e9) == 425


def test_same_bytes_tells_zero_from_minus_zero():
    zero = torch.zeros(2)
    assert same_bytes([zero], [zero.clone()])
    assert not same_bytes([zero], [-zero])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_without_a_gpu_it_says_how_to_rehearse():
    done = bench()
    assert done.returncode == 2
    assert "use --device cpu --tiny" in done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_smoke_run_has_right_numbers_and_no_row_fails():
    done = bench("--smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "error" not in done.stdout
