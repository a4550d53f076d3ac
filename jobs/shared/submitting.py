"""Where a submission is sent: a namespace of a Kubernetes cluster, or a running Ray cluster; one shape for both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from jobs.shared.console import notes
from lesionlab.clusters.api import Cluster, connected
from lesionlab.clusters.following import Seen, queue_line, seen
from lesionlab.clusters.work_jobs import QUEUE_ANNOTATION, TEMPLATE, job_for, job_name, nodes_of
from lesionlab.errors import ClusterError, InputError, NotAllowed, NotThere
from lesionlab.orchestration.ray_jobs import RayCluster
from storage_schemas.base import Digest
from storage_schemas.submissions import Device, Submission, SubmissionAttempt


class Place(Protocol):
    """A cluster that does the work of submissions."""

    name: str
    device: Device
    gpus: int | None
    """On all nodes together; None: not known."""

    def who(self) -> str: ...

    def where(self, submission: Digest, number: int) -> str: ...

    def forecast(self) -> list[str]: ...

    def refuse_if_forbidden(self) -> None: ...

    def start(self, submission: Submission, number: int) -> bool: ...

    def seen(self, submission: Digest, number: int) -> Seen: ...

    def stop(self, submission: Digest, number: int, sleep: Callable[[float], None]) -> bool: ...


GONE_WITHIN_S = 300.0
"""Pods have 120 s to write checkpoints, then the cluster is deleted."""


class Namespace:
    """A namespace with a template of jobs."""

    def __init__(
        self,
        cluster: Cluster,
        store_uri: str,
        gpus: int | None = None,
        *,
        device: Device | None = None,
        cache_gi: int | None = None,
    ) -> None:
        """`cache_gi`: GiB of each node for volumes; None: as in the template.

        Raises ClusterError if the cluster does not answer or has no template, InputError if it has another store.
        """
        self._cluster, self._gpus, self._cache_gi = cluster, gpus, cache_gi
        self.name = f"{cluster.namespace} of {cluster.context}"
        try:
            self._template = cluster.get("RayJob", TEMPLATE)
        except NotThere as error:
            raise ClusterError(
                f"namespace {cluster.namespace} has no template {TEMPLATE}; its administrator applies one "
                "(k8s/README.md), or name another namespace: --namespace"
            ) from error
        self._check_store(store_uri)
        self.nodes = nodes_of(self._job("0" * 16, 1, ""))
        self.device: Device = device or ("cuda" if self.nodes.gpus else "cpu")
        self.gpus = self.nodes.gpus or None

    def who(self) -> str:
        return self._cluster.who()

    def where(self, submission: Digest, number: int) -> str:
        return f"{self._cluster.namespace}/{job_name(submission, number)}"

    def forecast(self) -> list[str]:
        """The queue's state, and whether the caller may start a job."""
        queue = self._template["metadata"].get("annotations", {}).get(QUEUE_ANNOTATION)
        try:
            line = queue_line(self._cluster, queue, self.nodes.gpus) if queue else "no queue: it starts at once"
        except NotAllowed as error:
            line = f"queue {queue}: {error}"
        may = self._cluster.may("create", "RayJob")
        rights = f"{self.who()} may {'' if may else 'not '}start jobs in {self._cluster.namespace}"
        return [line, rights if may else f"{rights}; ask the cluster's administrator to add you to the site's group"]

    def refuse_if_forbidden(self) -> None:
        """Raises NotAllowed before anything is written."""
        if not self._cluster.may("create", "RayJob"):
            raise NotAllowed(
                f"namespace {self._cluster.namespace}: {self.who()} may not start jobs; ask the administrator "
                "to add you to the site's group"
            )

    def start(self, submission: Submission, number: int) -> bool:
        return self._cluster.create(self._job(submission.id, number, submission.spec.name))

    def seen(self, submission: Digest, number: int) -> Seen:
        return seen(self._cluster, job_name(submission, number))

    def stop(self, submission: Digest, number: int, sleep: Callable[[float], None]) -> bool:
        name, waited = job_name(submission, number), 0.0
        if not self._cluster.delete("RayJob", name):
            return False
        while self._cluster.find("RayJob", name) is not None:
            if waited >= GONE_WITHIN_S:
                raise ClusterError(f"job {name}: still there after {GONE_WITHIN_S:g} s; its deletion goes on")
            sleep(1.0)
            waited += 1.0
        return True

    def _job(self, submission: Digest, number: int, experiment: str) -> dict[str, object]:
        return job_for(
            self._template, submission, number, experiment=experiment, gpus=self._gpus, cache_gi=self._cache_gi
        )

    def _check_store(self, uri: str) -> None:
        """The settings of the template's pods name the store; another one would be missing everything."""
        head = self._template["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
        for source in head.get("envFrom", []):
            name = source.get("configMapRef", {}).get("name")
            found = self._cluster.find("ConfigMap", name) if name else None
            theirs = (found or {}).get("data", {}).get("LESIONLAB_STORE")
            if theirs and theirs.rstrip("/") != uri.rstrip("/"):
                raise InputError(
                    f"--store {uri}: the jobs of namespace {self._cluster.namespace} use {theirs}; give that store"
                )


class RunningRay:
    """A Ray cluster that runs already."""

    def __init__(self, address: str, device: Device, store_uri: str) -> None:
        """Raises ClusterError if no cluster answers there."""
        self._ray, self.name, self.device = RayCluster(address), address.rstrip("/"), device
        self.gpus: int | None = None
        self._store_uri = store_uri

    def who(self) -> str:
        return ""

    def where(self, submission: Digest, number: int) -> str:
        return f"{self.name}/{job_name(submission, number)}"

    def forecast(self) -> list[str]:
        return [f"{self.name}: a running Ray cluster without a queue: it starts at once"]

    def refuse_if_forbidden(self) -> None:
        """Whoever reaches a Ray cluster may start jobs."""

    def start(self, submission: Submission, number: int) -> bool:
        name = job_name(submission.id, number)
        settings = {"LESIONLAB_STORE": self._store_uri}
        return self._ray.start(name, f"python -m jobs.work {submission.id}", settings)

    def seen(self, submission: Digest, number: int) -> Seen:
        state, message = self._ray.state(job_name(submission, number))
        return Seen(state, message)

    def stop(self, submission: Digest, number: int, sleep: Callable[[float], None]) -> bool:
        return self._ray.stop(job_name(submission, number), sleep)


def place_of(
    attempt: SubmissionAttempt,
    device: Device,
    store_uri: str,
    *,
    context: str | None = None,
    namespace: str | None = None,
    address: str | None = None,
) -> Place:
    """Where an attempt was sent: the namespace of a cluster, or the Ray cluster whose address is stored with it.

    `address`: another way to the same Ray cluster. Raises ClusterError if it cannot be reached.
    """
    stored = attempt.place.rpartition("/")[0] if attempt.place.startswith(("http://", "https://")) else None
    if found := address or stored:
        return RunningRay(found, device, store_uri)
    return Namespace(connected(context, namespace), store_uri)


def place_if_any(
    attempt: SubmissionAttempt,
    device: Device,
    store_uri: str,
    *,
    context: str | None = None,
    namespace: str | None = None,
) -> Place | None:
    """The same, or None with a note if this machine does not reach it: the store knows most."""
    try:
        return place_of(attempt, device, store_uri, context=context, namespace=namespace)
    except ClusterError as error:
        if context:
            raise
        notes.print(f"no cluster is asked: {error}", style="dim")
        return None
