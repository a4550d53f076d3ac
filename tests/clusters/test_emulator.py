"""The emulated API server answers as a real one answered: status, reason, message and details of each exchange."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.clusters.conftest import consortium, trace
from tests.clusters.emulator import Api, serving

Exchange = dict[str, Any]
CASES = [
    "dry run create", "get after dry run", "create", "create again", "strict field validation", "warn field validation",
    "wrong type", "bad name", "no token", "bad token", "stale put", "server-side apply", "old watch",
    "missing namespace", "access review, admin", "self review", "delete", "delete again", "version", "group discovery",
]  # fmt: skip
"""In the order of the recording: each leaves the objects that the next one finds."""


@pytest.fixture(scope="module")
def replayed(base: dict[str, Any]) -> Iterator[dict[str, tuple[Exchange, requests.Response]]]:
    """The recorded exchanges and what the emulator answers, by name."""
    recorded = json.loads(trace("kubernetes-api.json").read_text())
    assert [exchange["case"] for exchange in recorded] == CASES
    api: Api = consortium([])
    api.oldest = 269
    with serving(api, grace=lambda body: True) as url:
        yield {e["case"]: (e, ask(url, e, base)) for e in recorded}


def ask(url: str, exchange: Exchange, base: dict[str, Any]) -> requests.Response:
    request, case = exchange["request"], exchange["case"]
    headers = {"Content-Type": request["contentType"], "Authorization": "Bearer admin"}
    if case == "no token":
        del headers["Authorization"]
    if case == "bad token":
        headers["Authorization"] = "Bearer wrong"
    body = body_of(exchange, base) if request["method"] in ("POST", "PUT", "PATCH") else None
    return requests.request(request["method"], url + request["path"], headers=headers, json=body, timeout=10)


def body_of(exchange: Exchange, base: dict[str, Any]) -> dict[str, Any]:
    """Requests were recorded without their bodies; the answers say what was in them."""
    case, answer = exchange["case"], exchange["body"]
    if "review" in case:
        return {name: answer[name] for name in ("apiVersion", "kind", "spec") if name in answer}
    job = copy.deepcopy(base)
    name = answer.get("details", {}).get("name") or answer.get("metadata", {}).get("name") or "http1"
    job["metadata"] = {"name": name, "labels": answer.get("metadata", {}).get("labels", {})}
    if "field validation" in case:
        job["spec"]["entrypont"] = "x"
    if case == "wrong type":
        job["spec"]["backoffLimit"] = "two"
    if case == "stale put":
        job["metadata"]["resourceVersion"] = "1"
    if case == "server-side apply":
        job["spec"] = {"backoffLimit": 7}
    return job


def comparable(body: Any) -> Any:
    """Without what differs by chance or was not recorded."""
    if isinstance(body, dict):
        chance = {
            "creationTimestamp",
            "deletionTimestamp",
            "uid",
            "resourceVersion",
            "generation",
            "spec",
            "managedFields",
        }
        return {name: comparable(value) for name, value in body.items() if name not in chance}
    return [comparable(value) for value in body] if isinstance(body, list) else body


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("version", "group discovery", "self review")])
def test_the_answer_is_the_recorded_one(replayed: dict[str, tuple[Exchange, requests.Response]], case: str) -> None:
    recorded, answer = replayed[case]
    body = answer.json()
    assert answer.status_code == recorded["status"]
    assert comparable(body) == comparable(recorded["body"])
    assert answer.headers.get("Warning") == recorded["headers"].get("Warning")


@pytest.mark.parametrize("case", ["version", "group discovery", "self review"])
def test_the_answer_has_the_shape_of_the_recorded_one(
    replayed: dict[str, tuple[Exchange, requests.Response]], case: str
) -> None:
    """Of these only some fields are emulated."""
    recorded, answer = replayed[case]
    assert answer.status_code == recorded["status"]
    body, wanted = answer.json(), recorded["body"]
    if case == "group discovery":
        names = {(r["name"], r["kind"], r["namespaced"]) for r in wanted["resources"] if "/" not in r["name"]}
        assert {(r["name"], r["kind"], r["namespaced"]) for r in body["resources"]} == names
    elif case == "self review":
        assert body["status"]["userInfo"]["username"] == wanted["status"]["userInfo"]["username"]
    else:
        assert body.items() <= wanted.items()
