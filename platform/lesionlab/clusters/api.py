"""Ask a Kubernetes API server: objects as plain values in and out, its refusals as errors that say what to do.

Contexts, exec plugins, client certificates, expiring tokens and CA files are the official client's work. Its generated
classes are not used: they do not know RayJob, and seven requests need none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from urllib.request import getproxies

from lesionlab.errors import ClusterError, NotAllowed, NotThere

Resource = dict[str, Any]

TIMEOUT_S = 30.0
PATIENCE_S = 60.0
"""An API server that is restarted, or that asks to wait, is asked again for so long."""
_BUSY = {429, 500, 502, 503, 504}
_MANAGER = "lesionlab"

PLURALS = {
    "RayJob": ("ray.io/v1", "rayjobs"),
    "Workload": ("kueue.x-k8s.io/v1beta2", "workloads"),
    "LocalQueue": ("kueue.x-k8s.io/v1beta2", "localqueues"),
    "ClusterQueue": ("kueue.x-k8s.io/v1beta2", "clusterqueues"),
    "ConfigMap": ("v1", "configmaps"),
    "Pod": ("v1", "pods"),
    "Event": ("v1", "events"),
}
_OF_THE_CLUSTER = {"ClusterQueue"}


@dataclass
class Refusal(Exception):
    """An answer of the API server that is no success."""

    code: int
    reason: str
    message: str
    retry_after_s: float | None = None
    by_the_server: bool = True
    """False: the answer is no Status, so perhaps that of a proxy."""


class Cluster:
    """One namespace of a Kubernetes cluster, as a kubeconfig context reaches it.

    Every method raises NotAllowed if the server refuses the caller, and ClusterError if it does not answer within
    PATIENCE_S or refuses for another reason.
    """

    def __init__(self, client: Any, namespace: str, context: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client, self._sleep = client, sleep
        self.namespace, self.context = namespace, context

    def get(self, kind: str, name: str) -> Resource:
        """One object. Raises NotThere."""
        return self._ask("GET", f"{self._path(kind)}/{quote(name)}")

    def find(self, kind: str, name: str) -> Resource | None:
        """One object, or None if there is none."""
        try:
            return self.get(kind, name)
        except NotThere:
            return None

    def listed(self, kind: str, **selectors: str) -> list[Resource]:
        """All objects of a kind; `labels` and `fields` are selectors."""
        query = [(f"{name.removesuffix('s')}Selector", value) for name, value in selectors.items()]
        found: list[Resource] = self._ask("GET", self._path(kind), query=query).get("items", [])
        return found

    def create(self, body: Resource) -> bool:
        """Create an object; False if one of this name exists. Raises ClusterError if the server finds it invalid."""
        query = [("fieldManager", _MANAGER), ("fieldValidation", "Strict")]
        try:
            self._ask("POST", self._path(body["kind"]), query=query, body=body)
        except _Exists:
            return False
        return True

    def delete(self, kind: str, name: str) -> bool:
        """Begin to delete an object and what belongs to it; False if there is none."""
        try:
            self._ask("DELETE", f"{self._path(kind)}/{quote(name)}", query=[("propagationPolicy", "Foreground")])
        except NotThere:
            return False
        return True

    def may(self, verb: str, kind: str) -> bool:
        """Whether the caller may do this to objects of this kind here."""
        group, _, _ = PLURALS[kind][0].rpartition("/")
        asked = {"namespace": self.namespace, "verb": verb, "group": group, "resource": PLURALS[kind][1]}
        found = self._review("authorization.k8s.io/v1", "SelfSubjectAccessReview", {"resourceAttributes": asked})
        return bool(found["status"].get("allowed", False))

    def who(self) -> str:
        """The caller's name, as the server knows it."""
        found = self._review("authentication.k8s.io/v1", "SelfSubjectReview")
        name: str = found["status"]["userInfo"]["username"]
        return name

    def _review(self, version: str, kind: str, spec: Resource | None = None) -> Resource:
        body: Resource = {"apiVersion": version, "kind": kind} | ({"spec": spec} if spec else {})
        return self._ask("POST", f"/apis/{version}/{kind.lower()}s", body=body)

    def _path(self, kind: str) -> str:
        version, plural = PLURALS[kind]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        return f"{root}/{plural}" if kind in _OF_THE_CLUSTER else f"{root}/namespaces/{self.namespace}/{plural}"

    def _ask(
        self, method: str, path: str, *, query: list[tuple[str, str]] | None = None, body: Resource | None = None
    ) -> Resource:
        waited, pause = 0.0, 1.0
        while True:
            try:
                return self._asked(method, path, query or [], body)
            except Refusal as refusal:
                if refusal.code not in _BUSY or waited >= PATIENCE_S:
                    raise self._error(refusal, path) from refusal
                wait_s = min(refusal.retry_after_s or pause, PATIENCE_S)
                self._sleep(wait_s)
                waited, pause = waited + wait_s, min(2 * pause, 10.0)

    def _asked(self, method: str, path: str, query: list[tuple[str, str]], body: Resource | None) -> Resource:
        import urllib3
        from kubernetes.client.exceptions import ApiException

        try:
            answer = self._client.call_api(
                path,
                method,
                query_params=query,
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=TIMEOUT_S,
            )
            found = json.loads(answer.data)
        except ApiException as error:
            raise _refusal(error) from error
        except ValueError as error:
            raise self._none_of_an_api_server(_start(answer.data)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            why = getattr(error, "reason", None) or error
            advice = "check the network, the proxy and the kubeconfig's context"
            if isinstance(why, urllib3.exceptions.SSLError):
                advice = "check the certificate authority and the server's address in the kubeconfig"
            raise ClusterError(
                f"cluster {self.context}: no answer from {self._client.configuration.host} ({_first_line(why)}); "
                f"{advice}"
            ) from error
        if not isinstance(found, dict):
            raise self._none_of_an_api_server(_start(answer.data))
        return found

    def _none_of_an_api_server(self, said: str) -> ClusterError:
        return ClusterError(
            f"cluster {self.context}: what answers for {self._client.configuration.host} is no Kubernetes API server "
            f"({said}); check whether a proxy or a login page of the network stands between, and the kubeconfig's "
            "context"
        )

    def _error(self, refusal: Refusal, path: str) -> ClusterError:
        said = f"cluster {self.context}: {refusal.message}"
        if refusal.code == 401:
            return NotAllowed(f"{said}: the server does not accept the credentials of this context; log in again")
        if refusal.code == 407 or (refusal.code == 403 and not refusal.by_the_server):
            return self._none_of_an_api_server(f"{refusal.code} {refusal.message}")
        if refusal.code == 403:
            return NotAllowed(f"{said}; {_remedy(refusal.message)}")
        if refusal.code == 404:
            return NotThere(said)
        if refusal.reason == "AlreadyExists":
            return _Exists(said)
        return ClusterError(f"{said} ({refusal.code} {refusal.reason} for {path})")


def _remedy(message: str) -> str:
    """What to do about a 403: it is the answer to missing rights, to a full quota and to a rule of the cluster."""
    if "system:anonymous" in message:
        return "no credentials were sent: log in again, and see whether the plugin that the kubeconfig names works"
    if "exceeded quota" in message:
        return "wait for other jobs of the namespace to end or end some, or ask the administrator for a larger quota"
    if " cannot " in message:
        return "ask the cluster's administrator to add you to the site's group"
    return "a rule of the cluster refuses it: show this to its administrator"


class _Exists(ClusterError):
    """An object of this name exists."""


def connected(context: str | None = None, namespace: str | None = None) -> Cluster:
    """The cluster of a kubeconfig context (None: the current one). Raises ClusterError that says what is wrong with it.

    The kubeconfig is that of KUBECONFIG or ~/.kube/config.
    """
    import urllib3
    import yaml
    from kubernetes import client, config
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigMerger

    settings = client.Configuration()
    settings.retries = urllib3.Retry(3, connect=1, read=1)  # each try may last TIMEOUT_S
    try:
        config.load_kube_config(context=context, client_configuration=settings, persist_config=False)
        merged = KubeConfigMerger(KUBE_CONFIG_DEFAULT_LOCATION).config
        name = context or merged["current-context"]
        chosen = merged["contexts"].get_with_name(name)["context"]
        settings.proxy = _proxy(merged["clusters"].get_with_name(chosen["cluster"])["cluster"], settings.host)
        own = chosen.safe_get("namespace")
    except (ConfigException, OSError, ValueError, yaml.YAMLError) as error:
        raise _unusable(_first_line(error)) from error
    except (TypeError, KeyError, AttributeError) as error:  # the client takes its shape for granted
        raise _unusable(f"it has not the shape of one ({_first_line(error)})") from error
    try:
        return Cluster(client.ApiClient(settings), namespace or own or "default", name)
    except urllib3.exceptions.HTTPError as error:
        raise _unusable(
            f"proxy {settings.proxy}: wanted http://HOST:PORT or https://HOST:PORT ({_first_line(error)})"
        ) from error


def _unusable(why: str) -> ClusterError:
    return ClusterError(
        f"kubeconfig: {why}; wanted a context that reaches the cluster (KUBECONFIG, ~/.kube/config, --context NAME)"
    )


def _proxy(cluster: Any, host: str) -> str | None:
    """The proxy of the kubeconfig, else that of the environment: before version 37 the client knows the second alone
    and takes http_proxy for https."""
    return cluster.safe_get("proxy-url") or getproxies().get(host.partition("://")[0])


def _refusal(error: Any) -> Refusal:
    """The Status that an API server sends with an error; a proxy between may send anything."""
    try:
        status = json.loads(error.body)
        reason, message, own = status.get("reason", ""), status.get("message", ""), status.get("kind") == "Status"
    except (ValueError, TypeError, AttributeError):
        reason, message, own = "", _start(error.body or error.reason), False
    after = (error.headers or {}).get("Retry-After", "")
    return Refusal(error.status, reason or str(error.reason), message, float(after) if after.isdigit() else None, own)


def _start(answer: str | bytes) -> str:
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
    return " ".join(text.split())[:200] or "nothing"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
