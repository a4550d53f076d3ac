"""`lesionlab storage policies` leaves the policies of the sites that there are, and touches nobody else's folder."""

from __future__ import annotations

from pathlib import Path

import yaml
from typer.testing import CliRunner, Result

from jobs.cli import app

ROOT = Path(__file__).parents[2]


def policies(sites: dict[str, object], folder: Path, *options: str) -> Result:
    pool = yaml.safe_load((ROOT / "k8s" / "sites.yaml").read_text())
    (folder.parent / "sites.yaml").write_text(yaml.safe_dump(pool | {"sites": pool["sites"] | sites}))
    arguments = ["storage", "policies", str(folder.parent / "sites.yaml"), "--out", str(folder), *options]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_of_a_site_that_left_no_policy_stays_of_which_terraform_would_keep_the_role(tmp_path: Path) -> None:
    folder = tmp_path / "storage"
    east = {"title": "East", "contacts": [{"name": "Office", "email": "office@east.example.org"}], "gpus": 1}
    policies({"east": east}, folder)
    assert (folder / "aws" / "contributor-east.json").is_file()
    assert policies({}, folder, "--check").exit_code != 0
    assert "contributor-east.json: is not generated any more; removed" in policies({}, folder).output
    assert sorted(path.name for path in (folder / "aws").glob("contributor-*")) == [
        "contributor-north.json",
        "contributor-south.json",
    ]
    assert policies({}, folder, "--check").exit_code == 0


def test_in_a_folder_that_was_not_generated_nothing_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "storage"
    folder.mkdir()
    (folder / "own.txt").write_text("mine")
    assert policies({}, folder).exit_code == 0
    assert (folder / "own.txt").read_text() == "mine"
