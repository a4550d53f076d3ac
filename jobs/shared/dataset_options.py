"""Arguments and options of the commands that read a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.options import plain_name
from lesionlab.errors import SpecError
from lesionlab.experiments.parts import Second
from lesionlab.preprocessing.layouts.recognise import LAYOUTS
from lesionlab.preprocessing.privacy import SALT_VARIABLE
from storage_schemas.tasks import TASKS

DatasetArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATASET", help=f"Folder or table of scans: {', '.join(layout.name for layout in LAYOUTS)}."
    ),
]
TaskOption = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help=f"Images to read and lesions to find: {', '.join(TASKS)}, or a YAML file that describes your own task.",
    ),
]
SpacingOption = Annotated[
    float, typer.Option(min=0.5, max=5.0, metavar="MM", help="Isotropic voxel size of the model grid, mm.")
]
SiteOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", callback=plain_name, help="Site of every study whose site the dataset does not give."),
]
ScrubOption = Annotated[
    bool, typer.Option("--scrub", help="Drop identifiers and report them; by default such studies are refused.")
]
AcceptOption = Annotated[
    list[str] | None,
    typer.Option(
        "--accept",
        metavar="STUDY",
        help="Accept in this study, after you have looked at it, what the files cannot prove: that a mask on the "
        "image's other form (qform instead of sform) has its voxels, or that a registration is right (its picture lies "
        "in the store beside the verdict). Repeat for each study; other faults still count.",
    ),
]
RegisteredOption = Annotated[
    bool,
    typer.Option(
        "--registered", help="The images of each study are registered already: keep the places in their headers."
    ),
]
AbsolutePathsOption = Annotated[
    bool,
    typer.Option("--absolute-paths", help="A table of paths may name files anywhere, not only below its folder."),
]
StripOption = Annotated[
    bool,
    typer.Option("--strip", help="Remove the skull from the images, by deepbet (lesionlab's extra 'strip')."),
]
StrippedOption = Annotated[
    bool,
    typer.Option("--stripped", help="The images come without the skull; experiment files declare it for each cohort."),
]
AddOption = Annotated[
    bool, typer.Option("--add", help="Keep what a site has in the cohort, and add this dataset's studies to it.")
]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Let this dataset be the cohort: whatever it has in the store leaves it.")
]
HashIdsOption = Annotated[
    bool,
    typer.Option("--hash-ids", help=f"Replace patient and study names by hashes, with the salt in {SALT_VARIABLE}."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, metavar="N", help="Studies in parallel; by default as many as CPUs and memory allow."
    ),
]


def chosen_second(*, add: bool, replace: bool) -> Second:
    """What a second dataset of a site does. Raises SpecError if both options are given."""
    if add and replace:
        raise SpecError("--add and --replace: wanted one of them, found both")
    return "add" if add else "replace" if replace else "refuse"
