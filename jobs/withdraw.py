"""Withdraw studies of a site, and remove what was made from them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated

import typer

from jobs.shared.audited import STEWARD, audited, contributing
from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect, plain_name
from lesionlab.errors import InputError
from lesionlab.experiments.withdrawal import execute, withdrawals
from lesionlab.experiments.withdrawal import withdraw as withdraw_from_site
from lesionlab.store.documents import create_named
from lesionlab.store.setup import delete_versions
from storage_schemas import keys
from storage_schemas.audit import AuditedStudies
from storage_schemas.parts import Receipt


def withdraw(
    store: StoreOption,
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="STUDY", help="Label of a study at its site, such as sub-0123.")
    ] = None,
    site: Annotated[
        str | None, typer.Option(metavar="SITE", callback=plain_name, help="The site that withdraws.")
    ] = None,
    steward: Annotated[
        bool,
        typer.Option(
            "--steward", help="Remove what was made from all withdrawn studies of all sites; needs a steward's rights."
        ),
    ] = False,
) -> None:
    """Withdraw studies: the next plan is without them, and what was made from them is removed.

    A site takes its studies from its cohorts and removes their volumes. A steward
    then removes predictions, rows, reports and every version of every object, and
    is told which models were trained on them. Ledger entries stay, marked.

    Example: lesionlab withdraw sub-0123 --site north
    """
    at = datetime.now(UTC).isoformat(timespec="seconds")
    if not steward and not (studies and site):
        raise InputError("wanted studies and their --site, or --steward")
    if studies and site:
        labels = [study.removeprefix(f"{site}/") for study in studies]
        if others := [label for label in labels if "/" in label]:
            raise InputError(*(f"{label}: not a study of site {site}" for label in others))
        place = connect(store, f"{keys.SITE.build(site=site)}/")
        with audited(place, contributing(site), site, (AuditedStudies(site=site, studies=len(labels)),)):
            parts = withdraw_from_site(place, site, labels, at)
        for part in parts:
            receipt = Receipt.named(
                site=site,
                cohort=part.cohort,
                what="withdrawn",
                part=part.id,
                studies=tuple(labels),
                objects=0,
                size=0,
                at=at,
                lesionlab=version("lesionlab"),
            )
            create_named(place, keys.RECEIPT.build(site=site, digest=receipt.id), receipt)
            console.print(f"cohort {part.cohort}: {len(part.studies)} studies of {site} are left")
        console.print(f"{len(labels)} withdrawn; a steward removes the rest: lesionlab withdraw --steward")
    if steward:
        place = connect(store)
        found = withdrawals(place)
        counts = Counter(one.site for one in found)
        gone = [AuditedStudies(site=name, studies=count) for name, count in sorted(counts.items())]
        with audited(place, STEWARD, "withdrawals", gone):
            removed = execute(place, found)
            versions = delete_versions(place, removed.places)
        console.print(
            f"{len(found)} withdrawn studies: {len(removed.places)} places cleared, {versions} old versions deleted, "
            f"{len(removed.runs)} runs marked"
        )
        for model in removed.models:
            console.print(f"model {model} was trained on a withdrawn study: train it again, or take it out of use")


if __name__ == "__main__":
    run_as_module(withdraw)
