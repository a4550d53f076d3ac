"""Write files that are generated from another one, or say which differ from what would be generated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jobs.shared.console import console
from jobs.shared.entry_points import answer_no
from jobs.shared.output_file import save_output


def write_or_compare(folder: Path, files: Mapping[str, str], *, compare: bool, again: str) -> None:
    """Write the files below the folder; to `compare`, write nothing.

    A folder whose ORIGIN is that of the files is generated as a whole: what is not generated any more is removed there,
    such as the policy of a site that left, of which Terraform would keep the role.

    Ends the command with the answer no if a file differs; names each, and the command that writes them `again`.
    """
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if not compare:
        whole = "ORIGIN" in files and "ORIGIN" in found and (folder / "ORIGIN").read_text() == files["ORIGIN"]
        for name in sorted(found - files.keys()) if whole else ():
            (folder / name).unlink()
            console.print(f"{folder / name}: is not generated any more; removed")
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            save_output("--out", folder / name, text.encode())
        console.print(f"{len(files)} files in {folder}")
        return
    differing = [name for name in sorted(files) if name not in found or (folder / name).read_text() != files[name]]
    faults = [f"{folder / name}: differs from what would be generated" for name in differing]
    faults += [f"{folder / name}: is not generated any more; remove it" for name in sorted(found - files.keys())]
    if faults:
        answer_no(*faults, f"write them again: {again}")
    console.print(f"{folder}: as generated")
