"""Generate the files of `k8s/cluster`, by path, from the sites of a consortium."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from lesionlab.clusters.site_resources import Resource, queue_resources, shared_resources, site_resources
from lesionlab.errors import InputError
from storage_schemas.sites import Consortium

ORIGIN = "generated from sites.yaml by `lesionlab cluster`; change that file, not this one."


def cluster_files(consortium: Consortium) -> dict[str, str]:
    """Text of each file below `k8s/cluster`.

    `sites/` needs no Kueue, `queues/` does; the folder itself is both.
    """
    sites = {f"sites/{name}.yaml": site_resources(name, site) for name, site in consortium.sites.items()}
    resources = {
        "sites/shared.yaml": shared_resources(consortium),
        **sites,
        "queues/queues.yaml": queue_resources(consortium),
    }
    files = {path: _text(path, found) for path, found in resources.items()}
    for folder in ("sites", "queues"):
        files[f"{folder}/kustomization.yaml"] = _kustomization(
            path.removeprefix(f"{folder}/") for path in resources if path.startswith(f"{folder}/")
        )
    return files | {"kustomization.yaml": _kustomization(["sites", "queues"])}


def write_files(files: Mapping[str, str], folder: Path) -> None:
    """Write the files, and remove those of sites that are no more. Raises InputError if that cannot be done."""
    try:
        for path in _stale(files, folder):
            path.unlink()
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be written ({error.strerror})") from error


def drift(files: Mapping[str, str], folder: Path) -> list[str]:
    """One sentence for each file that is not as it would be generated."""

    def found(path: Path) -> str | None:
        return path.read_text(encoding="utf-8") if path.is_file() else None

    changed = [name for name, text in files.items() if found(folder / name) != text]
    return [
        *(f"{folder / name}: differs from what the sites file gives" for name in changed),
        *(f"{path}: no site gives this file" for path in _stale(files, folder)),
    ]


def _stale(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Generated files of the folder that are generated no more."""
    there = sorted(folder.rglob("*.yaml"))
    return [path for path in there if path.relative_to(folder).as_posix() not in files and ORIGIN in _head(path)]


def _head(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]


def _text(path: str, resources: Iterable[Resource]) -> str:
    parts = [yaml.dump(resource, Dumper=_Plain, sort_keys=False, width=120) for resource in resources]
    return f"# Applied by the cluster's administrator, once, with the folder; {ORIGIN}\n" + "---\n".join(parts)


def _kustomization(resources: Iterable[str]) -> str:
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(resources)}
    return _text("", [head])


class _Plain(yaml.SafeDumper):
    """Without anchors, which people do not expect."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
