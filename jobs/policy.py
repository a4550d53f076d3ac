"""Show, check or set what a site allows to be done with its studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.audited import audited, contributing
from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect, connect_to_read, plain_name
from lesionlab.errors import InputError
from lesionlab.experiments.site_policies import SHOWN, parse_policy, site_policy, today
from storage_schemas import keys
from storage_schemas.audit import AuditedStudies
from storage_schemas.policies import SitePolicy


def policy(
    store: StoreOption,
    site: Annotated[str, typer.Option(metavar="SITE", callback=plain_name, help="The site whose policy it is.")],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[POLICY.yaml]", help="New policy of the site; without it, show the present one."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check the file; write nothing.")] = False,
) -> None:
    """Show, check or set what a site allows: tasks, experiments, what may leave in reports, and until when.

    Plans and runs leave out, or refuse, studies of a site that forbids them; reports
    show no more than every site lets leave. It binds lesionlab, not a person who
    holds a trainer's keys: these can read all sites.

    Example: lesionlab policy policy.yaml --site north --check
    Example: lesionlab policy --site north
    """
    if file is None:
        if check:
            raise InputError("--check: wanted a file to check, found none")
        found = site_policy(connect_to_read(store), site)
        nothing = f"site {site}: no policy; its consortium's rules alone hold"
        console.print(nothing if found is None else in_words(found))
        return
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"policy {file}: cannot be read ({error.strerror}); give a path to a YAML file") from error
    wanted = parse_policy(data, site, str(file))
    if not check:
        place = connect(store, f"{keys.SITE.build(site=site)}/")
        with audited(place, contributing(site), site, (AuditedStudies(site=site, studies=0),)):
            place.put(keys.POLICY.build(site=site), data)  # as the site wrote it, with its comments
    console.print(in_words(wanted), *(["checked; nothing was written"] if check else []), sep="\n")


def in_words(found: SitePolicy) -> str:
    """The policy, one line for each of its parts."""
    least = "" if found.smallest_count is None else f", of {found.smallest_count} patients at least"
    expired = found.expires is not None and today() > found.expires
    return "\n".join(
        (
            f"site {found.site}",
            f"tasks: {', '.join(found.tasks or ()) or 'all'}",
            f"experiments: {', '.join(found.experiments or ()) or 'all'}",
            f"leaves: {SHOWN[found.leaves]}{least}",
            f"expires: {found.expires or 'never'}{': EXPIRED, its studies may not be used' if expired else ''}",
        )
    )


if __name__ == "__main__":
    run_as_module(policy)
