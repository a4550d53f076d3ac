"""What travels to a GPU machine is complete, and in parts that fit."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tests.benchmarks.gpu_wheels import JARS, closure, parts, without

NEEDS = {
    "ray": ["click>=7", 'pyarrow ; extra == "train"', 'aiohttp ; extra == "default"', "torch"],
    "click": ['colorama ; sys_platform == "win32"', 'backport ; python_version < "3.12"'],
    "pyarrow": None,
    "aiohttp": ["Multi_Dict"],
    "multi-dict": ["ray"],
}


def test_all_that_is_needed_in_turn_is_found_for_the_other_machines_python():
    assert list(closure(["ray[train]"], NEEDS.__getitem__, ["torch"])) == ["click", "pyarrow", "ray"]
    assert list(closure(["ray[default]"], NEEDS.__getitem__, ["torch"])) == ["aiohttp", "click", "multi-dict", "ray"]


def test_files_are_distributed_over_parts_that_fit():
    sizes = {Path(name): size for name, size in {"a": 6, "b": 5, "c": 4, "d": 3, "e": 2}.items()}
    found = parts(sizes, 10)
    assert sorted(file.name for part in found for file in part) == list("abcde")
    assert [sum(sizes[file] for file in part) for part in found] == [10, 10]


def test_ray_travels_without_its_jars_and_its_record_agrees(tmp_path):
    wheel = tmp_path / "ray-2.whl"
    with zipfile.ZipFile(wheel, "w") as whole:
        whole.writestr("ray/__init__.py", "")
        whole.writestr("ray/jars/ray.jar", "x" * 1000)
        whole.writestr("ray-2.dist-info/RECORD", "ray/__init__.py,,\nray/jars/ray.jar,sha256=0,1000\n")
    without(wheel, JARS)
    with zipfile.ZipFile(wheel) as slim:
        assert slim.testzip() is None
        assert slim.namelist() == ["ray/__init__.py", "ray-2.dist-info/RECORD"]
        assert slim.read("ray-2.dist-info/RECORD") == b"ray/__init__.py,,\n"
