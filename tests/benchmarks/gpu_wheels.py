"""Gather what `tests.benchmarks.gpu` needs on a GPU machine without a registry: wheels, and a store of simulated heads.

    python -m tests.benchmarks.gpu_wheels OUT                 what gpu.py and a store need beside a torch image
    python -m tests.benchmarks.gpu_wheels OUT --ray           and Ray Train, for gpu.py --ray
    python -m tests.benchmarks.gpu_wheels OUT --heads 2       and a store of two simulated heads of 1 mm

The wheels are those that constraints.txt pins, for Python 3.12 on Linux x86_64, with all that they need in turn, less
what an image with torch has: IMAGE, and what `--present` names (scipy is half of it). They are put into `OUT/part-1`,
`OUT/part-2`, … of at most `--mib` MiB each, to be carried one after another; there: `pip install --no-index --no-deps
part-*/*.whl`. Ray's wheel travels without `ray/jars`, the half of it that only Java needs. Exit status 1: something is
larger than a part.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "any")

BENCH = ("pydantic", "numpy", "scipy", "safetensors", "obstore", "boto3", "zarr", "numcodecs", "nibabel")
"""What gpu.py imports, and what reads study volumes."""

RAY = ("ray[default,train]", "pyarrow", "pandas", "fastparquet")
"""What orchestration and the tables of a store import."""

IMAGE = (
    "torch",
    "numpy",
    "setuptools",
    "filelock",
    "jinja2",
    "markupsafe",
    "networkx",
    "sympy",
    "mpmath",
    "fsspec",
    "pip",
)
"""What an image with torch has."""

JARS = "ray/jars/"


def main(arguments: Sequence[str] | None = None) -> int:
    """Gather it; 1 if something does not fit."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path, help="a folder that does not exist yet")
    options.add_argument("--ray", action="store_true", help="Ray Train, too")
    options.add_argument("--heads", type=int, default=0, metavar="N", help="a store of N simulated heads, too")
    options.add_argument("--spacing", type=float, default=1.0, metavar="MM", help="of the heads; default 1")
    options.add_argument("--present", action="append", default=[], metavar="NAME", help="the image has this one, too")
    options.add_argument("--mib", type=float, default=60, help="of a part; default 60")
    chosen = options.parse_args(arguments)
    if chosen.out.exists():
        options.error(f"{chosen.out} exists; choose another folder")
    wanted = closure(BENCH + RAY if chosen.ray else BENCH, metadata.requires, [*IMAGE, *chosen.present])
    with tempfile.TemporaryDirectory(prefix="lesionlab-wheels-") as folder:
        download(wanted, Path(folder))
        for wheel in Path(folder).glob("ray-*.whl"):
            without(wheel, JARS)
        if chosen.heads:
            shutil.make_archive(
                str(Path(folder) / "store"), "tar", store_of(chosen.heads, chosen.spacing, Path(folder))
            )
            shutil.rmtree(Path(folder) / "heads")
        files = {file: file.stat().st_size for file in Path(folder).iterdir()}
        most = int(chosen.mib * 2**20)
        if large := [f"{file.name} ({size / 2**20:.1f} MiB)" for file, size in files.items() if size > most]:
            print(f"gpu_wheels: larger than a part of {chosen.mib:g} MiB: {', '.join(large)}", file=sys.stderr)
            return 1
        for number, part in enumerate(parts(files, most), start=1):
            into = chosen.out / f"part-{number}"
            into.mkdir(parents=True)
            for file in part:
                shutil.move(file, into / file.name)
            total = sum(files[file] for file in part) / 2**20
            print(f"{into}: {total:.1f} MiB, {', '.join(sorted(file.name for file in part))}")
    return 0


def closure(
    roots: Iterable[str], requires: Callable[[str], list[str] | None], present: Iterable[str]
) -> dict[str, str]:
    """The versions of the packages and of all that they need, by name, without those that are present.

    Versions are those that are installed here, which constraints.txt pins.
    """
    environment = {
        **default_environment(),
        "python_version": PYTHON,
        "python_full_version": f"{PYTHON}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
    }
    have, found = {canonicalize_name(name) for name in present}, dict[str, str]()
    waiting, seen = [Requirement(root) for root in roots], set[str]()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in have or f"{name}{sorted(one.extras)}" in seen:
            continue
        seen.add(f"{name}{sorted(one.extras)}")
        found[name] = metadata.version(name) if requires is metadata.requires else ""
        for text in requires(name) or ():
            needed = Requirement(text)
            extras = one.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate(environment | {"extra": x}) for x in extras):
                waiting.append(needed)
    return dict(sorted(found.items()))


def download(versions: dict[str, str], folder: Path) -> None:
    """Fetch the wheels of these versions. Raises SystemExit with pip's words if one is missing."""
    platforms = [option for platform in PLATFORMS for option in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON, *platforms]
    command += ["--dest", str(folder), *(f"{name}=={version}" for name, version in versions.items())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"gpu_wheels: pip found no wheel for Python {PYTHON}: {done.stderr.strip()}")


def without(wheel: Path, folder: str) -> None:
    """Rewrite a wheel without one of its folders, in its record too."""
    slim = wheel.with_suffix(".slim")
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(slim, "w", zipfile.ZIP_DEFLATED) as kept:
        for entry in whole.infolist():
            if entry.filename.startswith(folder):
                continue
            content = whole.read(entry)
            if re.fullmatch(r"[^/]+\.dist-info/RECORD", entry.filename):
                lines = content.decode().splitlines(keepends=True)
                content = "".join(line for line in lines if not line.startswith(folder)).encode()
            kept.writestr(entry, content)
    slim.replace(wheel)


def store_of(heads: int, spacing_mm: float, folder: Path) -> Path:
    """A store with the volumes of simulated MS patients, in the cohort `bench`."""
    dataset, store = folder / "heads" / "dataset", folder / "heads" / "store"
    simulated = ["simulate", str(dataset), "--studies", str(heads), "--spacing", f"{spacing_mm:g}"]
    prepared = ["preprocess", str(dataset), "--cohort", "bench", "--spacing", f"{spacing_mm:g}", "--store", str(store)]
    for command in (simulated, [*prepared, "--plain"]):
        subprocess.run([sys.executable, "-m", "jobs.cli", *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return store


def parts(sizes: dict[Path, int], most: int) -> list[list[Path]]:
    """Distribute files over as few parts as first-fit, largest first, needs."""
    found: list[list[Path]] = []
    for file in sorted(sizes, key=lambda one: (-sizes[one], one.name)):
        fits = (part for part in found if sum(sizes[other] for other in part) + sizes[file] <= most)
        part = next(fits, None)
        if part is None:
            found.append(part := [])
        part.append(file)
    return found


if __name__ == "__main__":
    sys.exit(main())
