"""The official BIDS validator, where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def bids_errors(root: Path) -> list[dict[str, Any]]:
    """Every error that the validator finds in a dataset; skips the test without a validator."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    validator = shutil.which("bids-validator-deno", path=path)
    if validator is None:
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run([validator, "--json", str(root)], capture_output=True, text=True, check=False)
    return [issue for issue in json.loads(done.stdout)["issues"]["issues"] if issue["severity"] == "error"]
