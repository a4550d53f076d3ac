"""Where a fault is injected: a store of its own on the S3 server, behind the proxy, and commands that work on it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from typer.testing import CliRunner

from jobs.cli import app
from lesionlab.experiments.leases import stored_lease
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.store.objects import Store, open_store
from tests.drill.experiment import results, runs, spec, store_cohorts
from tests.drill.table import End, Outcome
from tests.faulty_s3 import FaultyProxy
from tests.s3_server import S3Server

ROOT = Path(__file__).parents[2]
OWN_MODULES = {"PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)]), "PYTHONUNBUFFERED": "1"}
"""With which a process imports this code and these tests."""

END_S = 600
"""No command of the drill may take longer."""


@dataclass(frozen=True)
class Told:
    """How a command ended: exit code, and the last lines that it printed."""

    code: int
    text: str

    @property
    def last(self) -> str:
        """Its first error message, or the last line."""
        lines = [line for line in self.text.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")]
        return errors[0] + (f" (and {len(errors) - 1} more)" if errors[1:] else "") if errors else "".join(lines[-1:])


@dataclass
class Stage:
    """An S3 server with its proxy, and what the experiment looks like before and after an undisturbed sweep."""

    folder: Path
    server: S3Server
    proxy: FaultyProxy
    epochs: int
    before: dict[str, bytes] = field(default_factory=dict)
    after: dict[str, bytes] = field(default_factory=dict)
    undisturbed: dict[str, str] = field(default_factory=dict)
    on_s3: bool = True
    """Whether the stores lie on the S3 server; otherwise in folders, for faults that are the same on both."""

    def prepare(self) -> None:
        """Draw the cohorts, pretrain, plan and sweep, in this process and without faults, in a store of files."""
        self.spec.write_text(spec(self.epochs))
        store = open_store((self.folder / "undisturbed").as_uri())
        store_cohorts(store)
        self._succeed(store, "pretrain", self.spec, "--plain")
        self._succeed(store, "sweep", self.spec, "--dry-run")
        self.before = {key: store.get(key) for key in store.list("")}
        self._succeed(store, "sweep", self.spec, "--plain")
        self.after = {key: store.get(key) for key in store.list("")}
        self.undisturbed = results(store)

    def _succeed(self, store: Store, *arguments: object) -> None:
        told = self.command("undisturbed", *arguments, LESIONLAB_STORE=store.uri)
        assert told.code == 0, told.text

    @property
    def spec(self) -> Path:
        """The experiment's file."""
        return self.folder / "drill.yaml"

    def uri(self, name: str) -> str:
        """The store of one fault."""
        if not self.on_s3:
            return (self.folder / f"{name}-store").as_uri()
        return f"s3://{self.server.bucket}/{self.folder.name}-{name}"

    def store(self, name: str, objects: Mapping[str, bytes] | None = None) -> Store:
        """The store of one fault, opened past the proxy; filled with `objects`, by default those before the sweep."""
        with _environment(self.server.environment()):
            store = open_store(self.uri(name))
        for key, data in (self.before if objects is None else objects).items():
            store.put(key, data)
        return store

    def environment(self, name: str) -> dict[str, str]:
        """Of a command that works on this store through the proxy."""
        return self.server.environment() | {
            "AWS_ENDPOINT_URL_S3": self.proxy.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "LESIONLAB_STORE": self.uri(name),
            "LESIONLAB_CACHE": str(self.folder / f"{name}-cache"),
            "LESIONLAB_DEVICE": "cpu",
            "COLUMNS": "400",
        }

    def command(self, name: str, *arguments: object, **environment: str) -> Told:
        """Call `lesionlab` in this process."""
        result = CliRunner().invoke(app, list(map(str, arguments)), env=self.environment(name) | environment)
        unexpected = "" if isinstance(result.exception, SystemExit | None) else f"\nTraceback: {result.exception!r}"
        return Told(result.exit_code, result.output + unexpected)

    def sweep(self, name: str, **environment: str) -> Told:
        """Sweep in this process, without Ray."""
        return self.command(name, "sweep", self.spec, "--plain", **environment)

    def submit(self, name: str, *options: str, slow_clock_s: float = 0) -> Submission:
        """Call `lesionlab sweep` in a process of its own."""
        return Submission(
            [sys.executable, "-m", "tests.drill.submitter", str(slow_clock_s), "sweep", str(self.spec), *options],
            os.environ | self.environment(name) | OWN_MODULES,
            self.folder / f"{name}-{time.monotonic_ns()}.log",
        )

    def end(self, store: Store, told: Told, named: str = "") -> End:
        """Compare the results with the undisturbed ones, or read the refusal; `named` is what it must name."""
        if told.code == 0:
            return "identical results" if results(store) == self.undisturbed else "FAULT"
        refused = "error: " in told.text and "Traceback" not in told.text and named in told.text
        return "clear refusal" if refused else "FAULT"

    def outcome(
        self, injected: str, store: Store, told: Told, began: float, *, seen: str = "", named: str = "", **more: float
    ) -> Outcome:
        """What a fault led to; `seen` replaces the command's last words."""
        took_s = time.monotonic() - began
        return Outcome(injected, seen or brief(self, told), self.end(store, told, named), took_s, **more)


def brief(stage: Stage, told: Told) -> str:
    """What a command told at the end, without what differs from machine to machine."""
    text = told.last if told.code else "the sweep completed"
    for machine_part, name in ((str(stage.folder), "FOLDER"), (stage.proxy.endpoint, "ENDPOINT")):
        text = text.replace(machine_part, name)
    return text.replace(f"s3://{stage.server.bucket}/{stage.folder.name}-", "s3://bucket/")[:700]


class Submission:
    """A running command; the steps that its status line tells are read from its log."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT, cwd=ROOT
            )

    def text(self) -> str:
        """What it printed so far."""
        return self._log.read_text(errors="replace")

    def step(self) -> int:
        """The furthest step of any run that was told so far."""
        lines = self.text().splitlines()
        return max((int(line.removeprefix("step ")) for line in lines if line.startswith("step ")), default=0)

    def until(self, reached: Callable[[], object]) -> None:
        """Return when `reached()` is true or the command ends. Raises TimeoutError."""
        deadline = time.monotonic() + END_S
        while not reached() and self.process.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(self.text()[-3000:])
            time.sleep(0.05)

    def end(self) -> Told:
        """Wait for it."""
        code = self.process.wait(END_S)
        return Told(code, "\n".join(line for line in self.text().splitlines() if not line.startswith("step ")))

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


def signs_of_work(store: Store) -> set[tuple[str, int, int]]:
    """What was done so far: each complete run, and each claim with its renewals; (run, start, renewal)."""
    ids = runs(store)
    done = {(run_id, entry.attempts, -1) for run_id, entry in ledger_entries(store, ids).items()}
    claims = [found[0] for run_id in ids if (found := stored_lease(store, run_id))]
    return done | {(lease.run_id, lease.number, lease.beat) for lease in claims}


def started_again(store: Store) -> bool:
    """Whether a run that was started more than once shows progress or is complete."""
    return any(number > 1 and beat != 0 for _, number, beat in signs_of_work(store))


@contextmanager
def _environment(values: Mapping[str, str]):
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name)
        os.environ.update(before)
