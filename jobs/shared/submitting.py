"""Where a submission is sent: a namespace of a Kubernetes cluster, or a running Ray cluster; one shape for both."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

from jobs.shared.console import notes
from lesionlab.clusters.api import Cluster, connected
from lesionlab.clusters.following import Seen, never_starts, queue_line, seen
from lesionlab.clusters.work_jobs import QUEUE_ANNOTATION, TEMPLATE, Nodes, Resource, job_for, job_name, nodes_of
from lesionlab.errors import ClusterError, InputError, NotAllowed, NotThere
from lesionlab.experiments.submissions import Standing, end_attempt, open_attempt, standing
from lesionlab.orchestration.ray_jobs import RayCluster
from lesionlab.store.objects import Store
from storage_schemas.base import Digest
from storage_schemas.submissions import Device, Submission, SubmissionAttempt


class Place(Protocol):
    """A cluster that does the work of submissions."""

    name: str

    @property
    def device(self) -> Device: ...

    @property
    def gpus(self) -> int | None:
        """On all nodes together; None: not known."""

    def who(self) -> str: ...

    def where(self, submission: Digest, number: int) -> str: ...

    def forecast(self) -> list[str]: ...

    def refuse_if_forbidden(self) -> None: ...

    def refuse_to_stop_if_forbidden(self) -> None: ...

    def start(self, submission: Submission, number: int) -> bool: ...

    def seen(self, submission: Digest, number: int) -> Seen: ...

    def stop(self, submission: Digest, number: int, sleep: Callable[[float], None]) -> bool: ...


GONE_WITHIN_S = 300.0
"""Pods have 120 s to write checkpoints, then the cluster is deleted."""


class Namespace:
    """A namespace with jobs and, so that jobs can be started, a template of them.

    Every method raises ClusterError if the cluster does not answer or refuses; what needs the template also if there is
    none.
    """

    def __init__(
        self,
        cluster: Cluster,
        store_uri: str,
        gpus: int | None = None,
        *,
        device: Device | None = None,
        cache_gi: int | None = None,
    ) -> None:
        """`cache_gi`: GiB of each node for volumes; None: as in the template."""
        self._cluster, self._store_uri = cluster, store_uri
        self._gpus, self._cache_gi, self._device = gpus, cache_gi, device
        self.name = f"{cluster.namespace} of {cluster.context}"

    @cached_property
    def _template(self) -> Resource:
        """Raises InputError if its jobs have another store."""
        try:
            found = self._cluster.get("RayJob", TEMPLATE)
        except NotThere as error:
            raise ClusterError(
                f"namespace {self._cluster.namespace} has no template {TEMPLATE}; its administrator applies one "
                "(k8s/README.md), or name another namespace: --namespace"
            ) from error
        self._check_store(found)
        return found

    @cached_property
    def nodes(self) -> Nodes:
        """Of each job."""
        return nodes_of(self._job("0" * 16, 1, ""))

    @property
    def device(self) -> Device:
        """GPUs where the nodes have some, unless another one was wanted."""
        return self._device or ("cuda" if self.nodes.gpus else "cpu")

    @property
    def gpus(self) -> int | None:
        """On all nodes together; None: none."""
        return self.nodes.gpus or None

    @property
    def _queue(self) -> str:
        """Empty: jobs start at once."""
        name: str = self._template["metadata"].get("annotations", {}).get(QUEUE_ANNOTATION, "")
        return name

    def who(self) -> str:
        return self._cluster.who()

    def where(self, submission: Digest, number: int) -> str:
        return f"{self._cluster.namespace}/{job_name(submission, number)}"

    def forecast(self) -> list[str]:
        """The queue's state, and whether the caller may start a job."""
        queue = self._queue
        try:
            line = queue_line(self._cluster, queue, self.nodes.gpus) if queue else "no queue: it starts at once"
        except NotAllowed as error:
            line = f"queue {queue}: {error}"
        lines = [line] + [f"it would wait for ever: {why}" for why in self._never_starts()]
        may = self._cluster.may("create", "RayJob")
        rights = f"{self.who()} may {'' if may else 'not '}start jobs in {self._cluster.namespace}"
        return [*lines, rights if may else f"{rights}; ask the cluster's administrator to add you to the site's group"]

    def refuse_if_forbidden(self) -> None:
        """Raises NotAllowed, or InputError if its job would wait for ever, before anything is written."""
        self._refuse_unless_may("create", "start")
        for why in self._never_starts():
            raise InputError(f"namespace {self._cluster.namespace}: the job would wait for ever: {why}")

    def refuse_to_stop_if_forbidden(self) -> None:
        """Raises NotAllowed before anything is written."""
        self._refuse_unless_may("delete", "end")

    def _never_starts(self) -> list[str]:
        """Why a job would wait for ever; empty also if the caller may not see the queue."""
        if not self._queue:
            return []
        try:
            why = never_starts(self._cluster, self._queue, self.nodes.gpus)
        except NotAllowed:
            return []
        return [why] if why else []

    def _refuse_unless_may(self, verb: str, said: str) -> None:
        if not self._cluster.may(verb, "RayJob"):
            raise NotAllowed(
                f"namespace {self._cluster.namespace}: {self.who()} may not {said} jobs; ask the administrator "
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

    def _job(self, submission: Digest, number: int, experiment: str) -> Resource:
        return job_for(
            self._template, submission, number, experiment=experiment, gpus=self._gpus, cache_gi=self._cache_gi
        )

    def _check_store(self, template: Resource) -> None:
        """The settings of the template's pods name the store; another one would be missing everything."""
        head, uri = template["spec"]["rayClusterSpec"]["headGroupSpec"], self._store_uri
        for source in head["template"]["spec"]["containers"][0].get("envFrom", []):
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
        self._ray, self.name = RayCluster(address), address.rstrip("/")
        self.device, self.gpus = device, None
        self._store_uri = store_uri

    def who(self) -> str:
        return ""

    def where(self, submission: Digest, number: int) -> str:
        return f"{self.name}/{job_name(submission, number)}"

    def forecast(self) -> list[str]:
        return [f"{self.name}: a running Ray cluster without a queue: it starts at once"]

    def refuse_if_forbidden(self) -> None:
        """Whoever reaches a Ray cluster may start jobs."""

    def refuse_to_stop_if_forbidden(self) -> None:
        """And end them."""

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
    address: str | None = None,
) -> Place:
    """Where an attempt was sent: the namespace of a cluster, or the Ray cluster; either is stored with it.

    `address`: another way to the same Ray cluster. Raises ClusterError if it cannot be reached.
    """
    stored = attempt.place.rpartition("/")[0]
    if address or stored.startswith(("http://", "https://")):
        return RunningRay(address or stored, device, store_uri)
    return Namespace(connected(context, stored), store_uri)


def place_if_any(
    attempt: SubmissionAttempt, device: Device, store_uri: str, *, context: str | None = None
) -> Place | None:
    """The same, or None with a note if this machine does not reach it: the store knows most."""
    try:
        place = place_of(attempt, device, store_uri, context=context)
        place.seen(attempt.submission, attempt.number)
        return place
    except ClusterError as error:
        if context:
            raise
        notes.print(f"no cluster is asked: {error}", style="dim")
        return None


def joined_attempt(store: Store, submission: Submission, number: int) -> Standing | None:
    """The attempt of this number, if it is open or done already."""
    now = standing(store, submission.id)
    return now if now is not None and now.attempt.number == number else None


def refuse_if_elsewhere(attempt: SubmissionAttempt, target: Place) -> None:
    """Raises InputError if the attempt is at another place: a second job of it would do what the first one does."""
    known = target.seen(attempt.submission, attempt.number).state != "absent"
    if not known and attempt.place != target.where(attempt.submission, attempt.number):
        raise InputError(
            f"submission {attempt.submission}: {attempt.by} submitted it to {attempt.place} ({attempt.at}), where it "
            f"runs or waits; follow it (lesionlab status {attempt.submission} --watch), or have it ended there first "
            f"(lesionlab cancel {attempt.submission})"
        )


def start(store: Store, submission: Submission, number: int, target: Place) -> bool:
    """Open the attempt and start its job; False if somebody else did. Raises ClusterError, which ends the attempt."""
    opened = open_attempt(store, submission, number, place=target.where(submission.id, number), by=target.who())
    try:
        return target.start(submission, number)
    except ClusterError as error:
        now = standing(store, submission.id)
        if opened and now is not None:
            end_attempt(store, now.attempt, "failed", [str(fault) for fault in error.args])
        raise
