"""Start, follow and stop a command as a job of a running Ray cluster, through its dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from lesionlab.errors import ClusterError

State = Literal["absent", "starting", "running", "done", "failed"]
_STATES: Mapping[str, State] = {
    "PENDING": "starting",
    "RUNNING": "running",
    "SUCCEEDED": "done",
    "FAILED": "failed",
    "STOPPED": "failed",
}


class RayCluster:
    """A running Ray cluster. Every method raises ClusterError if it does not answer."""

    def __init__(self, address: str) -> None:
        from ray.job_submission import JobSubmissionClient  # imported here: Kubernetes needs no Ray on a laptop

        try:
            self._client: Any = JobSubmissionClient(address)
        except (RuntimeError, ConnectionError, ValueError) as error:
            raise ClusterError(
                f"--address {address}: {_first_line(error)}; wanted the dashboard of a running Ray cluster, such as "
                "http://head:8265"
            ) from error

    def start(self, name: str, entrypoint: str, environment: Mapping[str, str]) -> bool:
        """Start a job; False if one of this name was started before."""
        if self.state(name)[0] != "absent":
            return False
        self._ask(
            "submit_job",
            entrypoint=entrypoint,
            submission_id=name,
            runtime_env={"env_vars": dict(environment)},
            entrypoint_num_cpus=0,
        )
        return True

    def state(self, name: str) -> tuple[State, str]:
        """Where a job stands, and Ray's own words about it."""
        try:
            found = self._client.get_job_info(name)
        except RuntimeError as error:
            if "404" in str(error) or "does not exist" in str(error):
                return "absent", f"job {name} is not known to the cluster"
            raise ClusterError(f"Ray cluster: {_first_line(error)}") from error
        return _STATES.get(str(getattr(found.status, "value", found.status)), "running"), found.message or ""

    def stop(self, name: str) -> bool:
        """Stop a job; False if there is none."""
        if self.state(name)[0] == "absent":
            return False
        self._ask("stop_job", name)
        return True

    def _ask(self, request: str, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(self._client, request)(*arguments, **options)
        except (RuntimeError, ConnectionError) as error:
            raise ClusterError(f"Ray cluster: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
