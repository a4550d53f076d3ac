"""Show and check the record of who did what on which site's studies."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jobs.shared.audited import as_plain, words
from jobs.shared.console import console, show_table
from jobs.shared.entry_points import answer_no, run_as_module
from jobs.shared.options import CsvOption, JsonOption, StoreOption, connect_to_read, plain_name
from jobs.shared.output_file import save_csv
from lesionlab.experiments.audit import Chain, chains, concerns, merged
from storage_schemas.audit import AuditEntry


def audit(
    store: StoreOption,
    site: Annotated[
        str | None,
        typer.Option(metavar="SITE", callback=plain_name, help="Only what was done on studies of this site."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only check the chains: nothing changed, left out or inserted.")
    ] = False,
    csv_file: CsvOption = None,
    for_programs: JsonOption = False,
) -> None:
    """Show who did what on which site's studies, and how it ended, from the chains of all writers.

    In a consortium's store every command that reads or writes sites' studies appends
    to the chain of its role when it begins and when it ends. --verify names every
    entry that was changed, left out or inserted, and prints the number of entries
    and the checksum of the last one: note them, and you also see if the newest
    entries are taken away. Exit code 3 if there is a fault.

    Example: lesionlab audit --site north
    Example: lesionlab audit --verify
    """
    found = chains(connect_to_read(store))
    if verify:
        check(found)
        return
    entries = [entry for entry in merged(found) if site is None or concerns(entry, site)]
    if csv_file:
        save_csv(csv_file, list(AuditEntry.model_fields), [as_plain(entry) for entry in entries])
    if for_programs:
        console.print(json.dumps([entry.model_dump(mode="json") for entry in entries], indent=2))
    else:
        show(entries)


def check(found: tuple[Chain, ...]) -> None:
    """Print each chain's length and head, and every fault."""
    for one in found:
        console.print(f"{one.writer}: {len(one.entries)} entries, the last {one.head}")
    if faults := [fault for one in found for fault in one.faults]:
        answer_no(*faults)
    console.print(f"{len(found)} chains, nothing was changed, left out or inserted")


def show(entries: list[AuditEntry]) -> None:
    """One line for each command: when it began, and how it ended."""
    last = {entry.action: entry for entry in entries}
    table = Table(box=SIMPLE_HEAD)
    for title in ("at", "role", "who", "command", "about", "studies", "outcome"):
        table.add_column(title)
    for entry in entries:
        if entry.outcome == "begun":
            end = last[entry.action]
            outcome = "begun, no end" if end.outcome == "begun" else f"{end.outcome} {end.fault}".strip()
            table.add_row(
                entry.at[:19], entry.writer, entry.who, entry.command, entry.about, words(end.studies), outcome
            )
    show_table(table)


if __name__ == "__main__":
    run_as_module(audit)
