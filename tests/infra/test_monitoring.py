"""Alerts and Grafana's panels come from the list of measures, and Ray's exporter really has every name of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from lesionlab.clusters.monitoring import dashboard, monitoring_files, rules
from lesionlab.experiments.measures import ALERTS, MEASURES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "monitoring"


def promtool() -> str:
    """Debian's package prometheus has it."""
    found = os.environ.get("LESIONLAB_PROMTOOL") or shutil.which("promtool")
    if not found:
        pytest.skip("promtool is not installed (Debian: prometheus); LESIONLAB_PROMTOOL names one")
    return found


def test_the_files_are_as_generated() -> None:
    assert {name: (FOLDER / name).read_text() for name in monitoring_files()} == monitoring_files()


def test_alerts_and_panels_use_labels_that_the_measures_have() -> None:
    """Beside those that Prometheus adds."""
    labels = {measure.exported: {*measure.labels, "namespace"} for measure in MEASURES}
    texts = [rule["expr"] for rule in rules()]
    texts += [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    for text in texts:
        named = re.findall(r"ray_lesionlab_\w+", text)
        assert named
        assert set(named) <= labels.keys()
        selected = re.findall(r"(ray_lesionlab_\w+)\{(\w+)=", text)
        assert all(label in labels[name] for name, label in selected), text
        grouped = {label for group in re.findall(r"(?:by|on) \(([^)]*)\)", text) for label in group.split(", ")}
        assert all(grouped <= labels[name] for name in named), text


def test_every_measure_has_a_panel() -> None:
    shown = " ".join(target["expr"] for panel in dashboard()["panels"] for target in panel["targets"])
    assert all(measure.exported in shown for measure in MEASURES)


def test_no_panel_hides_another() -> None:
    """Grafana shows one of two panels of the same id, and draws panels that overlap over each other."""
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    covered = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(set(covered)) == len(covered)
    assert max(x for x, _ in covered) < 24, "Grafana's columns"


def test_every_alert_is_tested_and_has_its_entry_in_the_runbook() -> None:
    tested = (Path(__file__).with_name("alerts.yaml")).read_text()
    runbook = (ROOT / "docs" / "runbook.md").read_text().partition("## Each alert, and what to do")[2]
    assert [alert.name for alert in ALERTS if f"alertname: {alert.name}" not in tested] == []
    assert re.findall(r"\* \*\*(Lesionlab\w+)\.\*\*", runbook) == [alert.name for alert in ALERTS]


def test_promtool_accepts_the_rules_and_what_the_panels_ask(tmp_path: Path) -> None:
    """Each panel's expression as a recording rule."""
    asked = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(asked)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    for path, count in ((FOLDER / "rules.yaml", len(ALERTS)), (tmp_path / "panels.yaml", len(MEASURES))):
        done = subprocess.run([promtool(), "check", "rules", path], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{count} rules found" in done.stdout


def test_each_alert_fires_when_it_should_and_not_otherwise() -> None:
    tests = Path(__file__).with_name("alerts.yaml")
    done = subprocess.run([promtool(), "test", "rules", tests], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.cluster
def test_the_exporters_of_two_nodes_have_every_measure_with_its_labels() -> None:
    folder = Path(tempfile.mkdtemp(prefix="m", dir="/tmp"))  # short: Ray's sockets lie below it
    own = {"TMPDIR": str(folder), "RAY_TMPDIR": str(folder), "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"}
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | own
    done = subprocess.run(
        [sys.executable, "-m", "tests.infra.measured_sweep", str(folder)],
        cwd=ROOT, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    shutil.rmtree(folder, ignore_errors=True)
    assert {measure.exported for measure in MEASURES} <= found.keys()
    for measure in MEASURES:
        for labels in found[measure.exported]:
            assert set(measure.labels) <= set(labels.split(","))
