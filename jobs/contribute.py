"""Contribute a hospital's dataset to a cohort of several sites."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.shared.audited import audited, contributing
from jobs.shared.console import console
from jobs.shared.contributing import ReadySite, contribute_dataset, show_what_would_leave
from jobs.shared.dataset_options import (
    AbsolutePathsOption,
    AcceptOption,
    AddOption,
    DatasetArgument,
    RegisteredOption,
    ReplaceOption,
    ScrubOption,
    WorkersOption,
    chosen_second,
)
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import ExcludeFaultyOption, PlainOption, StoreOption, connect, plain_name
from jobs.shared.salts import REGISTER_SALT, RegisterSaltOption, SaltOption, read_salt
from lesionlab.errors import InputError
from lesionlab.experiments.manifests import declared_cohort
from lesionlab.preprocessing.contribution import check_invitation
from lesionlab.preprocessing.privacy import SALT_VARIABLE
from storage_schemas.audit import AuditedStudies
from storage_schemas.keys import SITE


def contribute(
    path: DatasetArgument,
    store: StoreOption,
    cohort: Annotated[str, typer.Option(metavar="NAME", callback=plain_name, help="Cohort that was declared.")],
    site: Annotated[str, typer.Option(metavar="SITE", callback=plain_name, help="Your site, one of those invited.")],
    salt_file: SaltOption = None,
    register_salt_file: RegisterSaltOption = None,
    scrub: ScrubOption = False,
    absolute_paths: AbsolutePathsOption = False,
    accept: AcceptOption = None,
    registered: RegisteredOption = False,
    exclude_faulty: ExcludeFaultyOption = False,
    add: AddOption = False,
    replace: ReplaceOption = False,
    workers: WorkersOption = None,
    plain: PlainOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show every object and every fact that would leave; send nothing.")
    ] = False,
) -> None:
    """Contribute a dataset to a cohort of several sites, under pseudonyms, below your site's own folder.

    Task, spacing and stripping are those that the cohort was declared with. Every
    file is verified and screened for identifiers first. Safe to re-run: what was
    sent is not sent again. A receipt says what left.

    Example: lesionlab contribute ./bids --cohort ms --site north --salt-file ./salt --dry-run
    """
    second = chosen_second(add=add, replace=replace)
    place = connect(store, f"{SITE.build(site=site)}/")
    salt, register_salt = read_salt(SALT_VARIABLE, salt_file), read_salt(REGISTER_SALT, register_salt_file)
    declared = declared_cohort(place, cohort)
    check_invitation(declared, cohort, site, register_salt)
    if salt is None:
        raise InputError(
            f"{SALT_VARIABLE}: wanted the site's own salt, there or in a --salt-file, found none; make one (openssl "
            "rand -hex 32), keep it where the dataset is kept, and never share it"
        )
    assert declared is not None  # or there was no invitation
    own = ReadySite(place, declared, site, salt, register_salt, scrub, frozenset(accept or ()), registered)
    dataset = own.opened(path, absolute_paths=absolute_paths)
    if dry_run:
        show_what_would_leave(own, dataset, exclude_faulty=exclude_faulty, second=second)
        return
    sent = AuditedStudies(site=site, cohort=cohort, studies=len(dataset.dataset.studies))
    with audited(place, contributing(site), cohort, (sent,)) as record:
        receipt = contribute_dataset(
            own, dataset, exclude_faulty=exclude_faulty, second=second, plain=plain, workers=workers
        )
        record.studies = (sent.model_copy(update={"part": receipt.part, "studies": len(receipt.studies)}),)
    console.print(
        f"cohort {cohort}: {len(receipt.studies)} studies of {site}, {receipt.objects} objects of "
        f"{receipt.size / 1e6:.1f} MB in volumes, in {store}",
        f"receipt {receipt.id}",
        sep="\n",
    )


if __name__ == "__main__":
    run_as_module(contribute)
