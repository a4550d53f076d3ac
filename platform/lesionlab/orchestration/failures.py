"""Tell why a run failed, from its exception, and whether it may be started again.

What a run refuses or cannot fit into memory ends it at once, as does a bug: it would fail again. Lost workers cost
nothing as long as the run's checkpoints advance between the losses. A fault of a GPU or of the network between GPUs
(CUDA, NCCL, ECC) gets one more start from the same step, on another node if there is one.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lesionlab.errors import LesionlabError, RunFailed, RunHeld, RunYielded
from storage_schemas.leases import FailureKind

STARTS_FROM_A_STEP: dict[FailureKind, int] = {"lost": 3, "hardware": 2}
"""Starts of a run from the same checkpointed step; of other kinds of failure the first ends it."""

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "killed due to the node running low",
)
_LOST = (
    "connection closed by peer",
    "connection reset by peer",
    "connection refused",
    "broken pipe",
    "remote process exited",
    "socket timeout",
    "timed out waiting",
)
_HARDWARE = ("cuda error", "nccl", "ecc error", "cudnn_status", "cublas_status", "device-side assert", "hip error")


def failure_kind(error: BaseException) -> FailureKind:
    """The kind of a failure, by the type and text of what was raised in a worker or by Ray."""
    if isinstance(error, RunFailed):
        return error.kind
    if isinstance(error, RunYielded):
        return "lost"
    if isinstance(error, LesionlabError):
        return "refused"
    text = str(error).lower()
    if isinstance(error, MemoryError) or _is(error, "OutOfMemoryError") or _has(text, _OUT_OF_MEMORY):
        return "memory"
    if has_died(error) or isinstance(error, ConnectionError):
        return "lost"
    if isinstance(error, RuntimeError):
        return "lost" if _has(text, _LOST) else "hardware" if _has(text, _HARDWARE) else "error"
    return "error"


def has_died(error: BaseException) -> bool:
    """Whether this is what Ray says of a process or node that it lost, or that was taken away as announced."""
    return _is(error, "RayActorError") or _is(error, "PreemptionError")


def error_text(error: BaseException) -> str:
    """The message of one of the project's errors in one line; of any other its type and message."""
    text = "; ".join(map(str, error.args))
    return text if isinstance(error, LesionlabError) else f"{type(error).__name__}: {text}"


@contextmanager
def told_by_kind(node: str) -> Iterator[None]:
    """Raise any error of a worker on this node as one that can be sent to another process, with its kind."""
    try:
        yield
    except LesionlabError:
        raise
    except Exception as error:
        kind = failure_kind(error)
        text = traceback.format_exc() if kind == "error" else error_text(error)
        raise RunFailed(kind, text, node) from None


def root_cause(errors: Iterable[BaseException]) -> LesionlabError:
    """The error among those of one group of workers that explains the others.

    The survivors of a loss, and those that waited for a worker that failed, raise errors of their connections.
    """
    found = list(errors)
    for kind in ("refused", "memory"):
        if of_kind := [error for error in found if failure_kind(error) == kind]:
            return _as_ours(of_kind[0])
    died = [error for error in found if has_died(error) or isinstance(error, RunYielded)]
    order: tuple[FailureKind, ...] = ("error", "hardware", "lost")
    return _as_ours((died or sorted(found, key=lambda error: order.index(failure_kind(error))))[0])


@dataclass
class Starts:
    """The failures of one run since its checkpoints last advanced."""

    step: int = 0
    failures: list[FailureKind] = field(default_factory=list)

    def may_start_again(self, kind: FailureKind, step: int) -> bool:
        """Count a failure; `step` is the last step with a checkpoint."""
        if step > self.step:
            self.step, self.failures = step, []
        self.failures.append(kind)
        return self.failures.count(kind) < STARTS_FROM_A_STEP.get(kind, 1)

    def given_up(self, error: LesionlabError) -> LesionlabError:
        """The error with which a run ends that may not be started again."""
        kind = failure_kind(error)
        if kind not in STARTS_FROM_A_STEP or isinstance(error, RunHeld):
            return error
        what = "its workers were lost" if kind == "lost" else "a GPU or its network failed"
        hint = "; processes that vanish without a word often lacked memory" if kind == "lost" else ""
        times = f"{self.failures.count(kind)} times without progress beyond step {self.step}"
        return RunFailed(kind, f"{what} {times}{hint}; the last time: {'; '.join(map(str, error.args))}")


def _as_ours(error: BaseException) -> LesionlabError:
    return error if isinstance(error, LesionlabError) else RunFailed(failure_kind(error), error_text(error))


def _is(error: BaseException, name: str) -> bool:
    """Whether it is of a class of this name, of torch or Ray: a plain run need not wait for Ray's import."""
    return any(kind.__name__ == name for kind in type(error).__mro__)


def _has(text: str, parts: Iterable[str]) -> bool:
    return any(part in text for part in parts)
