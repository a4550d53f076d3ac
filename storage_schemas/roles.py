"""Define the roles of a consortium's store: which folders each may read and write. Policies are generated from this.

A folder ends with a slash and is relative to the store; `{site}` is the site of a contributor; `*` stands for any text,
so that one object of each run can be granted. Listing goes with reading. What is not granted is refused, so the labels
of benchmarks are the gate's alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from storage_schemas.base import Document

RoleName = Literal["contributor", "trainer", "analyst", "reader", "auditor", "gate", "steward"]

SITE_FIELD = "{site}"


class Role(Document):
    """What one kind of user may do."""

    title: str
    """In one line, for people."""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    """Written folders are also read, listed and deleted from."""
    appends: tuple[str, ...] = ()
    """Folders that it reads and lists, and in which it creates objects; it changes and deletes none where the storage
    can tell these apart (AWS can, SeaweedFS cannot)."""
    never: tuple[str, ...] = ()
    """Patterns of objects in written folders that it only reads, where the storage can tell them apart (AWS can,
    SeaweedFS cannot)."""
    reads_at_sites: tuple[str, ...] = ()
    """Below the folder of every site."""
    all: bool = False
    """Everything, every version of every object included."""

    def readable(self, site: str | None = None, sites: Iterable[str] = ()) -> tuple[str, ...]:
        """Every folder that it may read, for this site; `sites` are those of the consortium."""
        own = (self._of(folder, site) for folder in (*self.writes, *self.appends, *self.reads))
        there = (f"sites/{each}/{name}" for each in sites for name in self.reads_at_sites)
        return tuple(dict.fromkeys((*own, *there)))

    def writable(self, site: str | None = None) -> tuple[str, ...]:
        """Every folder that it may write, for this site."""
        return tuple(self._of(folder, site) for folder in self.writes)

    def appendable(self, site: str | None = None) -> tuple[str, ...]:
        """Every folder in which it may create objects and change none, for this site."""
        return tuple(self._of(folder, site) for folder in self.appends)

    def _of(self, folder: str, site: str | None) -> str:
        if SITE_FIELD in folder and site is None:
            raise ValueError(f"{folder}: wanted a site")
        return folder.replace(SITE_FIELD, site or "")


_PLANNED = ("cohorts/", "manifests/", "splits/", "plans/", "ledger/", "retrain/")
_TRAINED = ("runs/", "failed/", "models/", "results/", "rescored/", "clock/", "submissions/", "self-grades/")
_PROGRESS = ("failed/", "submissions/sweeps/")
_OF_RUNS = ("runs/*/run.json", "runs/*/lease.json", "runs/*.parquet")
"""What was run, who executes it, its rows and its curves; no weights, no predictions."""

ROLES: dict[RoleName, Role] = {
    "contributor": Role(
        title="a hospital: writes its own folder, reads what is declared",
        reads=("cohorts/", "consortium/"),
        writes=("sites/{site}/",),
        appends=("audit/contributor-{site}/",),
    ),
    "trainer": Role(
        title="plans, trains and tests: reads every site, writes runs, models, results and their reports",
        reads=("sites/", "consortium/"),
        writes=(*_PLANNED, *_TRAINED, "reports/"),
        appends=("audit/trainer/", "rules/"),
        never=("models/*/champion.json", "models/*/history/*"),
    ),
    "analyst": Role(
        title="reads results and what they were made from, writes reports",
        reads=("sites/", "consortium/", "rules/", *_PLANNED, *_TRAINED),
        writes=("reports/", "rescored/"),
        appends=("audit/analyst/",),
    ),
    "reader": Role(
        title="reads reports and results, and how far an experiment is",
        reads=("reports/", "results/", "plans/", "ledger/", "manifests/", *_PROGRESS, *_OF_RUNS),
    ),
    "auditor": Role(
        title="reads the audit, and what was planned and run on which studies; no images, no rows",
        reads=("audit/", "ledger/", "plans/", "manifests/", "cohorts/", "runs/*/run.json"),
    ),
    "gate": Role(
        title="tests models on a sealed benchmark, whose volumes nobody else reads, and promotes by its rule",
        reads=("benchmarks/", "manifests/", "rules/", "runs/", "ledger/", "consortium/"),
        # Of a site's parts it needs the register's tokens: whether a candidate was trained on a benchmark's patient.
        reads_at_sites=("policy.yaml", "withdrawn/", "cohorts/"),
        writes=("benchmarks/results/", "models/"),
        appends=("retrain/",),
    ),
    "steward": Role(title="sets the store up and executes withdrawals", all=True),
}
