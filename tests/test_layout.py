"""The floor plan keeps out of the standard library's way."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_folder_platform_is_no_package() -> None:
    assert (ROOT / "platform" / "lesionlab").is_dir()
    assert not (ROOT / "platform" / "__init__.py").exists()


def test_import_platform_is_the_standard_library_even_from_the_checkout() -> None:
    assert Path(platform.__file__).parent == Path(subprocess.__file__).parent
    answer = subprocess.run(
        [sys.executable, "-c", "import platform, lesionlab; print(platform.__file__, platform.system())"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not answer.stdout.startswith(str(ROOT / "platform"))


def test_every_module_opens_with_what_enters_and_leaves() -> None:
    for folder in ("platform/lesionlab", "storage_schemas", "jobs"):
        for path in (ROOT / folder).rglob("*.py"):
            assert path.read_text(encoding="utf-8").startswith('"""'), f"{path} has no docstring"
