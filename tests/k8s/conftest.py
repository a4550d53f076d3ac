"""Render kustomizations and validate custom resources against their schemas."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CRDS = Path(os.environ.get("LESIONLAB_CRDS", ROOT.parent / "shared" / "crds"))

Documents = list[dict[str, Any]]


@pytest.fixture(scope="session")
def render() -> Callable[[Path], Documents]:
    """Render a folder as `kubectl apply -k` would; the folder may be anywhere."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on the PATH: nothing renders the kustomizations")

    def run(folder: Path) -> Documents:
        done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return list(yaml.safe_load_all(done.stdout))

    return run


@pytest.fixture(params=["jobs/sweep", "overlays/example"])
def documents(request: pytest.FixtureRequest, render: Callable[[Path], Documents]) -> Documents:
    """All documents rendered from one kustomization of k8s/."""
    return render(ROOT / "k8s" / request.param)


@pytest.fixture
def rayjob(documents: Documents) -> dict[str, Any]:
    """The one RayJob among them."""
    (job,) = [document for document in documents if document["kind"] == "RayJob"]
    return job


@pytest.fixture(scope="session")
def schema_faults() -> Callable[[dict[str, Any]], list[str]]:
    """Faults of a custom resource by the strict JSON Schema of its CRD."""
    if not CRDS.is_dir():
        pytest.skip(f"no schemas of custom resources at {CRDS}: name their folder with LESIONLAB_CRDS")

    def check(document: dict[str, Any]) -> list[str]:
        group, version = document["apiVersion"].split("/")
        schema = json.loads((CRDS / f"{document['kind'].lower()}_{group}_{version}.json").read_text())
        errors = jsonschema.Draft202012Validator(schema).iter_errors(document)
        return [f"{error.json_path}: {error.message}" for error in errors]

    return check
