"""Read `sites.yaml` into a Consortium, or report every fault in it."""

from __future__ import annotations

from pathlib import Path

from lesionlab.experiments.spec_files import read_yaml, validated
from storage_schemas.sites import Consortium


def read_sites(path: Path) -> Consortium:
    """The sites of a consortium. Raises SpecError with every fault in the file."""
    what = f"sites file {path}"
    return validated(read_yaml(path, what), Consortium, what)
