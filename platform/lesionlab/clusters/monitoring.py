"""Write what Prometheus and Grafana read of lesionlab's measures: rules, a dashboard, and the manual's tables."""

from __future__ import annotations

import json
from typing import Any

import yaml

from lesionlab.experiments.measures import ALERTS, MEASURES, Measure, expression

ORIGIN = "generated from lesionlab/experiments/measures.py by `lesionlab cluster`; change that file, not this one."


def monitoring_files() -> dict[str, str]:
    """Text of each file below `infra/monitoring`."""
    groups = {"groups": [{"name": "lesionlab", "rules": rules()}]}
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "lesionlab", "labels": {"app.kubernetes.io/name": "lesionlab"}},
        "spec": groups,
    }
    return {
        "rules.yaml": _yaml(f"# Read by a Prometheus without its operator; {ORIGIN}", groups),
        "prometheusrule.yaml": _yaml(f"# Applied by the cluster's administrator, once; {ORIGIN}", resource),
        "dashboard.json": json.dumps(dashboard(), indent=2) + "\n",
        "README.md": _readme(),
    }


def rules() -> list[dict[str, Any]]:
    """The alerting rules, as Prometheus reads them."""
    return [
        {
            "alert": alert.name,
            "expr": expression(alert),
            "for": alert.lasts,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.means, "description": alert.todo},
        }
        for alert in ALERTS
    ]


def dashboard() -> dict[str, Any]:
    """A Grafana dashboard with one panel for each measure; it asks for its Prometheus when it is imported."""
    return {
        "uid": "lesionlab",
        "title": "lesionlab",
        "schemaVersion": 39,
        "tags": ["lesionlab"],
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": [_panel(number, measure) for number, measure in enumerate(MEASURES)],
    }


def _panel(number: int, measure: Measure) -> dict[str, Any]:
    """Two panels a row, of Grafana's 24 columns."""
    source = {"type": "prometheus", "uid": "${source}"}
    query = measure.panel.replace("SELF", measure.exported)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": measure.meaning.partition(":")[0].partition(";")[0].rstrip("."),
        "description": measure.meaning,
        "datasource": source,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": measure.unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "datasource": source, "expr": query}],
    }


def _readme() -> str:
    measures = [f"| `{m.exported}` | {m.kind} | {', '.join(m.labels) or '–'} | {m.meaning} |" for m in MEASURES]
    alerts = [f"| `{a.name}` | {a.lasts} | {a.severity} | {a.means} | {a.todo} |" for a in ALERTS]
    return "\n".join(
        [
            f"<!-- {ORIGIN} -->",
            "# What is measured, and which alerts there are",
            "",
            "Every Ray node exports these beside Ray's own metrics; the component `k8s/components/monitors` lets a",
            "Prometheus operator read them. `kubectl apply -f prometheusrule.yaml` (or `rules.yaml` in a plain",
            "Prometheus) adds the alerts; Grafana imports `dashboard.json`. Prometheus adds the namespace: the site.",
            "",
            "| metric | kind | labels | meaning |",
            "|---|---|---|---|",
            *measures,
            "",
            "| alert | lasts | severity | means | what to do |",
            "|---|---|---|---|---|",
            *alerts,
            "",
        ]
    )


def _yaml(head: str, content: dict[str, Any]) -> str:
    return f"{head}\n" + yaml.safe_dump(content, sort_keys=False, width=120)
