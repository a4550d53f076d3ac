"""Start, follow and stop a command as a job of a running Ray cluster, through its dashboard."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from lesionlab.errors import ClusterError, InputError, NotAllowed
from lesionlab.orchestration.cluster import PROBE_S

State = Literal["absent", "starting", "running", "done", "failed"]
_STATES: Mapping[str, State] = {
    "PENDING": "starting",
    "RUNNING": "running",
    "SUCCEEDED": "done",
    "FAILED": "failed",
    "STOPPED": "failed",
}


NOT_READY = "No available agent"
"""Of Ray's answer while the dashboard answers already and no node's agent has joined it: nothing was started."""

READY_WITHIN_S = 60

STOPS_WITHIN_S = 120
"""As long as the pods of a Kubernetes job: a worker writes its checkpoint meanwhile. Ray's own limit is 3 s."""


class RayCluster:
    """A running Ray cluster. Every method raises ClusterError if it does not answer, NotAllowed if it wants a token."""

    def __init__(self, address: str) -> None:
        """Raises InputError for an address that is none of a dashboard, or that has credentials in it."""
        self._address = checked_dashboard(address)
        from ray.job_submission import JobSubmissionClient  # imported here: Kubernetes needs no Ray on a laptop

        self._client: Any = self._asked(lambda: JobSubmissionClient(self._address))

    def start(
        self,
        name: str,
        entrypoint: str,
        environment: Mapping[str, str],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> bool:
        """Start a job; False if one of this name was started before.

        A cluster that has only just started is asked again for READY_WITHIN_S. Each answer may take Ray 10 s.
        """
        if self.state(name)[0] != "absent":
            return False
        deadline = clock() + READY_WITHIN_S
        while True:
            try:
                self._submit(name, entrypoint, environment)
                return True
            except ClusterError as error:
                if NOT_READY not in str(error):
                    raise
                if clock() > deadline:
                    raise ClusterError(
                        f"Ray cluster {self._address}: no agent of its nodes takes jobs since {READY_WITHIN_S} s; if "
                        "another Ray runs on the same machine, start this one with `ray start "
                        "--dashboard-agent-listen-port 0` (both want port 52365); else see its dashboard_agent.log"
                    ) from error
            sleep(1)

    def _submit(self, name: str, entrypoint: str, environment: Mapping[str, str]) -> None:
        self._asked(
            lambda: self._client.submit_job(
                entrypoint=entrypoint,
                submission_id=name,
                runtime_env={"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOPS_WITHIN_S), **environment}},
                entrypoint_num_cpus=0,
            )
        )

    def state(self, name: str) -> tuple[State, str]:
        """Where a job stands, and Ray's own words about it."""
        try:
            found = self._asked(lambda: self._client.get_job_info(name))
        except ClusterError as error:
            if "404" in str(error):
                return "absent", f"job {name} is not known to the cluster"
            raise
        return _STATES.get(str(getattr(found.status, "value", found.status)), "running"), found.message or ""

    def stop(self, name: str, sleep: Callable[[float], None] = time.sleep) -> bool:
        """Stop a job and wait until its processes have ended; False if there is none."""
        if self.state(name)[0] == "absent":
            return False
        self._asked(lambda: self._client.stop_job(name))
        waited = 0
        while self.state(name)[0] in ("starting", "running"):
            if waited > 2 * STOPS_WITHIN_S:
                raise ClusterError(f"Ray cluster {self._address}: job {name} still runs after {waited} s")
            sleep(1)
            waited += 1
        return True

    def _asked(self, request: Callable[[], Any]) -> Any:
        from ray.exceptions import AuthenticationError

        try:
            return request()
        except AuthenticationError as error:
            raise _wants_token(self._address) from error
        except (RuntimeError, OSError, ValueError) as error:  # an OSError: every error of its HTTP client
            raise ClusterError(f"Ray cluster {self._address}: {_first_line(error)}") from error


def checked_dashboard(address: str) -> str:
    """The address of a dashboard that answers, without a slash at its end.

    Raises InputError if it is malformed, and ClusterError within about PROBE_S if nothing answers there: Ray's own
    client waits for as long as the network does.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"--address {address}: wanted the dashboard of a running Ray cluster, such as http://head:8265"
        )
    if parts.username or parts.password:
        raise InputError(
            "--address: wanted no user or password in the address, which is stored with the submission; a token of "
            "Ray is given by RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        )
    plain = address.rstrip("/")
    try:
        urllib.request.urlopen(f"{plain}/api/version", timeout=PROBE_S).close()
    except urllib.error.HTTPError:
        pass  # it answers; what it refuses is told by Ray's client
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"--address {address}: no Ray dashboard answers ({_first_line(error)}); check that the cluster runs and "
            "that this machine reaches it"
        ) from error
    return plain


def _wants_token(address: str) -> NotAllowed:
    return NotAllowed(
        f"Ray cluster {address}: it refuses this machine's token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or "
        "RAY_AUTH_TOKEN_PATH) to that of the cluster"
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
