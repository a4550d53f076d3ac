"""A Kubernetes API over HTTP, for tests: objects by kind and name, validated, versioned and watched.

It answers as `../shared/traces/kubernetes-api.json` was answered by a real API server; `test_emulator.py` replays that.
Left out: server-side apply beyond its conflict, managed fields, other groups than those that lesionlab asks.
"""

from __future__ import annotations

import copy
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Object = dict[str, Any]
Validate = Callable[[Object], list[str]]

KINDS = {
    "rayjobs": ("ray.io", "v1", "RayJob"),
    "rayclusters": ("ray.io", "v1", "RayCluster"),
    "rayservices": ("ray.io", "v1", "RayService"),
    "raycronjobs": ("ray.io", "v1", "RayCronJob"),
    "workloads": ("kueue.x-k8s.io", "v1beta2", "Workload"),
    "localqueues": ("kueue.x-k8s.io", "v1beta2", "LocalQueue"),
    "clusterqueues": ("kueue.x-k8s.io", "v1beta2", "ClusterQueue"),
    "namespaces": ("", "v1", "Namespace"),
    "configmaps": ("", "v1", "ConfigMap"),
    "pods": ("", "v1", "Pod"),
    "events": ("", "v1", "Event"),
}
_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)(?:/namespaces/(?P<space>[^/]+))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?"
)
_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"


class Answered(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code, self.body = code, status(code, reason, message, **details)


def status(code: int, reason: str, message: str, **details: Any) -> Object:
    body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return body | {"reason": reason} | ({"details": details} if details else {}) | {"code": code}


@dataclass
class User:
    """Who holds a token, and in which namespaces they may do everything."""

    name: str
    namespaces: frozenset[str] | None = None
    """None: all."""
    without: frozenset[str] = frozenset()
    """Verbs that they may not use even there."""

    def may(self, verb: str, space: str | None) -> bool:
        return verb not in self.without and (self.namespaces is None or space in self.namespaces or space is None)


@dataclass
class Event:
    version: int
    type: str
    key: tuple[str, str | None, str]
    object: Object


@dataclass
class Api:
    """The state of the cluster; the handlers below only translate HTTP."""

    validate: Validate = lambda document: []
    users: dict[str, User] = field(default_factory=lambda: {"admin": User("admin")})
    objects: dict[tuple[str, str | None, str], Object] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    version: int = 268
    faults: list[tuple[int, str]] = field(default_factory=list)
    """Answers to the next requests instead of the right ones: code and reason."""
    admit: Callable[[str, Object], None] = lambda verb, body: None
    """Quotas and webhooks: asked before an object is created or deleted; may raise Answered."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    oldest: int = 0
    """Watches from before this version are refused: they were compacted away."""

    def __post_init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())

    def put(self, plural: str, body: Object, space: str | None = None, kind_of_event: str = "") -> Object:
        """Store an object as it is, as controllers do."""
        with self.changed:
            key = plural, space, body["metadata"]["name"]
            new = key not in self.objects
            self.version += 1
            body["metadata"]["resourceVersion"] = str(self.version)
            self.objects[key] = body
            kind = kind_of_event or ("ADDED" if new else "MODIFIED")
            self.events.append(Event(self.version, kind, key, copy.deepcopy(body)))
            self.changed.notify_all()
            return body

    def remove(self, plural: str, name: str, space: str | None) -> None:
        with self.changed:
            body = self.objects.pop((plural, space, name), None)
            if body is not None:
                self.version += 1
                self.events.append(Event(self.version, "DELETED", (plural, space, name), body))
                self.changed.notify_all()

    def find(self, plural: str, name: str, space: str | None = None) -> Object | None:
        with self.changed:
            return self.objects.get((plural, space, name))

    def change(self, plural: str, name: str, space: str | None, change: Callable[[Object], object]) -> Object | None:
        """Let a controller change an object; None if it is gone."""
        with self.changed:
            body = self.objects.get((plural, space, name))
            if body is None:
                return None
            body = copy.deepcopy(body)
            change(body)
            return self.put(plural, body, space)

    def every(self, plural: str, space: str | None = None) -> list[Object]:
        with self.changed:
            return [o for (p, s, _), o in self.objects.items() if p == plural and space in (None, s)]

    def create(self, plural: str, space: str | None, body: Object, query: dict[str, str]) -> tuple[Object, str]:
        group, _, kind = KINDS[plural]
        name = body.get("metadata", {}).get("name", "")
        if not re.fullmatch(_NAME, name):
            _refuse_name(group, kind, name)
        warning = self._checked(plural, body, query)
        with self.changed:
            if space is not None and self.find("namespaces", space) is None:
                raise Answered(404, "NotFound", f'namespaces "{space}" not found', name=space, kind="namespaces")
            if (plural, space, name) in self.objects:
                raise _conflict(plural, name, "AlreadyExists", "already exists")
            self.admit("create", body)
            made = copy.deepcopy(body)
            made["metadata"] |= {
                "uid": str(uuid.uuid4()),
                "generation": 1,
                "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                **({"namespace": space} if space else {}),
            }
            return (made if query.get("dryRun") == "All" else self.put(plural, made, space)), warning

    def replace(self, plural: str, space: str | None, name: str, body: Object, query: dict[str, str]) -> Object:
        with self.changed:
            before = self._there(plural, space, name)
            given = body["metadata"].get("resourceVersion")
            if given and given != before["metadata"]["resourceVersion"]:
                raise _conflict(plural, name, "Conflict")
            self._checked(plural, body, query)
            return self.put(plural, copy.deepcopy(body), space)

    def apply(self, plural: str, space: str | None, name: str, body: Object, query: dict[str, str]) -> Object:
        """Only the conflict with the fields of another manager, which is all that lesionlab needs to understand."""
        before, manager = self._there(plural, space, name), query.get("fieldManager", "")
        owner = before["metadata"].get("annotations", {}).get("emulator/manager", "lesionlab")
        changed = [k for k, v in body.get("spec", {}).items() if before["spec"].get(k) != v]
        if changed and manager != owner:
            message, version = f'conflict with "{owner}" using {body["apiVersion"]}', f".spec.{changed[0]}"
            cause = {"reason": "FieldManagerConflict", "message": message, "field": version}
            raise Answered(409, "Conflict", f"Apply failed with 1 conflict: {message}: {version}", causes=[cause])
        return self.put(plural, before | {"spec": before["spec"] | body.get("spec", {})}, space)

    def delete(self, plural: str, space: str | None, name: str, grace: Callable[[Object], bool]) -> Object:
        """Mark for deletion; `grace` says whether a controller removes it later."""
        with self.changed:
            body = self._there(plural, space, name)
            self.admit("delete", body)
            if "deletionTimestamp" not in body["metadata"]:
                body = copy.deepcopy(body)
                body["metadata"] |= {
                    "deletionTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "deletionGracePeriodSeconds": 0,
                    "finalizers": ["foregroundDeletion"],
                }
                body["metadata"]["generation"] = body["metadata"].get("generation", 1) + 1
                self.put(plural, body, space)
            if not grace(body):
                self.remove(plural, name, space)
            return body

    def _there(self, plural: str, space: str | None, name: str) -> Object:
        found = self.find(plural, name, space)
        if found is None:
            group, _, _ = KINDS[plural]
            details = {"name": name} | ({"group": group} if group else {}) | {"kind": plural}
            raise Answered(404, "NotFound", f'{_resource(plural)} "{name}" not found', **details)
        return found

    def _checked(self, plural: str, body: Object, query: dict[str, str]) -> str:
        """Refuse what the schema refuses; unknown fields as `fieldValidation` says. A warning, or an empty text."""
        group, version, kind = KINDS[plural]
        name, warnings = body["metadata"]["name"], []
        for fault in self.validate(body):
            path, _, message = fault.partition(": ")
            path = path.removeprefix("$.")
            if unknown := re.search(r"\('(\w+)' was unexpected\)", message):
                warnings.append(f'unknown field "{path}.{unknown[1]}"')
                continue
            wanted = re.search(r"is not of type '(\w+)'", message)
            value = (
                f'Invalid value: "string": {path} in body must be of type {wanted[1]}: "string"' if wanted else message
            )
            causes = [{"reason": "FieldValueTypeInvalid", "message": value, "field": path}]
            unchecked = (
                "some validation rules were not checked because the object was invalid; correct the existing errors"
            )
            also = f"Invalid value: null: {unchecked} to complete validation"
            causes.append({"reason": "FieldValueInvalid", "message": also, "field": "<nil>"})
            listed = f"[{path}: {value}, <nil>: {also}]"
            raise _invalid(group, kind, name, listed, causes)
        if warnings and query.get("fieldValidation") == "Strict":
            said = f'{kind} in version "{version}" cannot be handled as a {kind}: strict decoding error: '
            said += ", ".join(warnings)
            raise Answered(400, "BadRequest", said)
        return ", ".join(warnings)


def _resource(plural: str) -> str:
    group, _, _ = KINDS[plural]
    return f"{plural}.{group}" if group else plural


def _conflict(plural: str, name: str, reason: str, end: str = "") -> Answered:
    group, _, _ = KINDS[plural]
    stale = "the object has been modified; please apply your changes to the latest version and try again"
    said = f'{_resource(plural)} "{name}"'
    message = f"{said} {end}" if end else f"Operation cannot be fulfilled on {said}: {stale}"
    return Answered(409, reason, message, name=name, group=group, kind=plural)


def _invalid(group: str, kind: str, name: str, text: str, causes: list[Object]) -> Answered:
    message = f'{kind}.{group} "{name}" is invalid: {text}'
    return Answered(422, "Invalid", message, name=name, group=group, kind=kind, causes=causes)


def _refuse_name(group: str, kind: str, name: str) -> None:
    rule = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_NAME}')"
    )
    message = f'Invalid value: "{name}": {rule}'
    cause = {"reason": "FieldValueInvalid", "message": message, "field": "metadata.name"}
    raise _invalid(group, kind, name, f"metadata.name: {message}", [cause])


class Handler(BaseHTTPRequestHandler):
    """HTTP in, HTTP out."""

    api: Api
    grace: Callable[[Object], bool] = staticmethod(lambda body: False)
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("get")

    def do_POST(self) -> None:
        self._answer("create")

    def do_PUT(self) -> None:
        self._answer("update")

    def do_PATCH(self) -> None:
        self._answer("patch")

    def do_DELETE(self) -> None:
        self._answer("delete")

    def _answer(self, verb: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        self.api.requests.append((self.command, self.path))
        try:
            if self.api.faults:
                code, reason = self.api.faults.pop(0)
                raise Answered(code, reason, reason)
            user = self._user()
            if url.path == "/version":
                return self._send(200, {"major": "1", "minor": "36", "gitVersion": "v1.36.2"})
            if url.path.endswith("reviews"):
                return self._review(url.path, body, user)
            if group := re.fullmatch(r"/apis/([^/]+)/([^/]+)", url.path):
                return self._send(200, discovery(group[1], group[2]))
            found = _PATH.fullmatch(unquote(url.path))
            if found is None or found["plural"] not in KINDS:
                raise Answered(404, "NotFound", "the server could not find the requested resource")
            self._resource(verb, found, query, body, user)
        except Answered as refused:
            self._send(refused.code, refused.body, {"Retry-After": "1"} if refused.code == 429 else {})

    def _user(self) -> User:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if not kind:
            return User("system:anonymous", frozenset())
        if token not in self.api.users:
            raise Answered(401, "Unauthorized", "Unauthorized")
        return self.api.users[token]

    def _resource(self, verb: str, found: re.Match[str], query: dict[str, str], body: Object, user: User) -> None:
        plural, space, name = found["plural"], found["space"], found["name"]
        if verb == "get" and not name:
            verb = "watch" if query.get("watch") in ("1", "true") else "list"
        if not user.may(verb, space) or user.name == "system:anonymous":
            group, _, _ = KINDS[plural]
            said = f'User "{user.name}" cannot {verb} resource "{plural}" in API group "{group}"'
            said += f' in the namespace "{space}"'
            details = {"name": name} if name else {}
            raise Answered(
                403, "Forbidden", f"{_resource(plural)}{f' {json.dumps(name)}' if name else ''} is forbidden: {said}",
                **details, group=group, kind=plural,
            )  # fmt: skip
        api = self.api
        if verb == "get":
            self._send(200, api._there(plural, space, name))
        elif verb == "list":
            self._send(200, {"kind": "List", "items": _selected(api.every(plural, space), query)})
        elif verb == "watch":
            self._watch(plural, space, query)
        elif verb == "create":
            made, warning = api.create(plural, space, body, query)
            self._send(201, made, {"Warning": f"299 - {json.dumps(warning)}"} if warning else {})
        elif verb == "update":
            self._send(200, api.replace(plural, space, name, body, query))
        elif verb == "patch":
            self._send(200, api.apply(plural, space, name, body, query))
        else:
            self._send(200, api.delete(plural, space, name, self.grace))

    def _review(self, path: str, body: Object, user: User) -> None:
        if path.endswith("selfsubjectreviews"):
            body["status"] = {"userInfo": {"username": user.name, "groups": ["system:authenticated"]}}
        else:
            asked = body["spec"]["resourceAttributes"]
            body["status"] = {
                "allowed": user.name != "system:anonymous" and user.may(asked["verb"], asked.get("namespace"))
            }
        self._send(201, {"metadata": {}} | body)

    def _watch(self, plural: str, space: str | None, query: dict[str, str]) -> None:
        since, seconds = int(query.get("resourceVersion") or 0), float(query.get("timeoutSeconds") or 30)
        if since and since < self.api.oldest:
            said = f"too old resource version: {since} ({self.api.oldest})"
            return self._send(200, {"type": "ERROR", "object": status(410, "Expired", said)})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        end = datetime.now().timestamp() + seconds
        while (left := end - datetime.now().timestamp()) > 0:
            with self.api.changed:
                new = [
                    e for e in self.api.events if e.version > since and e.key[0] == plural and space in (None, e.key[1])
                ]
                if not new:
                    self.api.changed.wait(left)
            for event in new:
                since = event.version
                self.wfile.write(json.dumps({"type": event.type, "object": event.object}).encode() + b"\n")
                self.wfile.flush()
        self.close_connection = True

    def _send(self, code: int, body: Object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def discovery(group: str, version: str) -> Object:
    found = [(plural, kind) for plural, (g, v, kind) in KINDS.items() if (g, v) == (group, version)]
    if not found:
        raise Answered(404, "NotFound", "the server could not find the requested resource")
    resources = [{"name": plural, "kind": kind, "namespaced": plural != "clusterqueues"} for plural, kind in found]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{group}/{version}", "resources": resources}


def _selected(objects: list[Object], query: dict[str, str]) -> list[Object]:
    for name, value in (term.split("=") for term in query.get("labelSelector", "").split(",") if term):
        objects = [o for o in objects if o["metadata"].get("labels", {}).get(name) == value]
    for path, value in (term.split("=") for term in query.get("fieldSelector", "").split(",") if term):
        objects = [o for o in objects if _at(o, path.split(".")) == value]
    return objects


def _at(value: Any, path: list[str]) -> Any:
    for name in path:
        value = value.get(name, {})
    return value


@contextmanager
def serving(api: Api, grace: Callable[[Object], bool] = lambda body: False) -> Iterator[str]:
    """Serve on a free loopback port; yield the URL."""
    handler = type("Own", (Handler,), {"api": api, "grace": staticmethod(grace)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kubeconfig(url: str, token: str, namespace: str, **cluster: Any) -> Object:
    """A kubeconfig with one context, `test`."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "emulated", "cluster": {"server": url, **cluster}}],
        "contexts": [{"name": "test", "context": {"cluster": "emulated", "user": "me", "namespace": namespace}}],
        "users": [{"name": "me", "user": {"token": token}}],
    }
