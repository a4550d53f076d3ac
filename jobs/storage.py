"""Set up and check the storage of a consortium."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import answer_no, run_as_module
from jobs.shared.generated_files import write_or_compare
from lesionlab.errors import InputError
from lesionlab.experiments.sites_file import counts_fault, read_sites, store_counts
from lesionlab.store.conformance import conformance
from lesionlab.store.objects import open_store
from lesionlab.store.policies import policy_files
from lesionlab.store.setup import set_up


def storage(
    what: Annotated[
        Literal["init", "check", "policies"],
        typer.Argument(
            help="init: set the bucket up. check: try everything that the platform relies on. policies: write the "
            "access policies of every role."
        ),
    ],
    sites: Annotated[Path, typer.Argument(metavar="sites.yaml", help="The consortium: its store and its sites.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="policies: folder of the files, for AWS IAM and SeaweedFS.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--check", help="policies: write nothing; fail if a file is not as generated.")
    ] = False,
) -> None:
    """Set up a consortium's bucket, check that a store does what the platform relies on, or write access policies.

    `init` is idempotent: versioning, lifecycle of what is temporary, encryption,
    no public access, and the smallest counts, by which `analyse --share` goes.
    `check` needs write access, leaves nothing behind, and exits with 3 if something
    does not hold; so does `policies --check`.

    Example: lesionlab storage policies sites.yaml --out ./policies
    """
    pool = read_sites(sites)
    if what == "policies":
        if out is None:
            raise InputError("--out: wanted a folder for the policies, found none")
        again = f"lesionlab storage policies {sites} --out {out}"
        write_or_compare(out, policy_files(pool), compare=compare, again=again)
        return
    if what == "init":
        for done in set_up(pool):
            console.print(done)
        store_counts(open_store(pool.store), pool)
        console.print("smallest counts: done")
        return
    failed, place = 0, open_store(pool.store)
    for found in conformance(place):
        console.print(f"{'pass' if found.holds else 'FAIL'} {found.what}{f': {found.why}' if found.why else ''}")
        failed += not found.holds
    if failed:
        answer_no(f"{pool.store}: {failed} things that the platform relies on do not hold; use another store")
    if why := counts_fault(place, pool):
        answer_no(f"{pool.store}: smallest counts: {why}; the steward sets it: lesionlab storage init {sites}")


if __name__ == "__main__":
    run_as_module(storage)
