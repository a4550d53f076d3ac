"""Parse `[ROLE=]IMAGE` arguments, read the images and assign them to the roles of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from jobs.shared.console import notes
from jobs.shared.output_file import is_same_file, no_file
from lesionlab.errors import ImageError, InputError
from lesionlab.imaging.itk import read_affine
from lesionlab.imaging.volume import Matrix, Volume, read_volume
from lesionlab.preprocessing.unlike import unlike_notes
from storage_schemas.cohorts import Stripping
from storage_schemas.tasks import Task


def role_and_path(image: str) -> tuple[str, Path]:
    """Split `ROLE=PATH`; the role of a path alone is empty."""
    role, equals, path = image.partition("=")
    return (role, Path(path)) if equals and not Path(image).exists() else ("", Path(image))


def read_images(named: Sequence[tuple[str, Path]]) -> list[tuple[str, Volume]]:
    """The images with their roles. Raises InputError with every file that is missing, unreadable or given twice."""
    faults = [
        f"{one}: wanted another image for each role, found it for {role!r} and {other!r}; give each role its own image"
        for (role, one), (other, two) in combinations(named, 2)
        if is_same_file(one, two)
    ]
    images: list[tuple[str, Volume]] = []
    for role, path in named:
        try:
            if not path.is_file():
                raise ImageError(f"{path}: {no_file(path)}; check the path", code="missing-file")
            images.append((role, read_volume(path)))
        except ImageError as error:
            faults += map(str, error.args)
    if faults:
        raise InputError(*faults)
    return images


def read_transforms(given: Sequence[str], task: Task) -> dict[str, Matrix]:
    """The user's own registrations, given as ROLE=FILE. Raises InputError with every wrong role and unreadable file."""
    moved = [move.moving for move in task.registrations]
    wanted = " or ".join(f"{role}=FILE" for role in moved) or "none: this task registers no image"
    matrices: dict[str, Matrix] = {}
    faults: list[str] = []
    for one in given:
        role, _, path = one.partition("=")
        if role not in moved or not path:
            faults.append(f"--transform {one}: wanted {wanted}")
        elif role in matrices:
            faults.append(f"--transform {one}: wanted one transform for {role!r}, found several; keep one")
        else:
            try:
                matrices[role] = read_affine(Path(path))
            except ImageError as error:
                faults += map(str, error.args)
    if faults:
        raise InputError(*faults)
    return matrices


def note_unlike(
    named: Sequence[tuple[str, Path]],
    scans: Mapping[str, Volume],
    task: Task,
    strip: Stripping | None = None,
    *,
    stripping: bool = False,
) -> None:
    """Tell of each image what suggests that it is of another kind than the model's training images.

    `strip`: how these became skull-stripped; `stripping`: the skull will be removed from the given ones.
    """
    for role, path in named:
        role = role or task.native
        for note in unlike_notes(path.name, scans[role], task.scan(role), strip, stripping=stripping):
            notes.print(f"{path}: {note}", style="yellow")


def images_by_role(given: Sequence[tuple[str, Volume]], task: Task) -> dict[str, Volume]:
    """The images in the task's order; if the task reads one image, it needs no role.

    Raises InputError with every role that is missing, repeated or unknown to the task.
    """
    if [role for role, _ in given] == [""] and len(task.roles) == 1:
        return {task.native: given[0][1]}
    found = [role for role, _ in given]
    wanted = f"task {task.name} wants {' '.join(f'{role}=IMAGE' for role in task.roles)}"
    faults = [
        f"{repr(role) if role else 'an image without a role'}: {wanted}" for role in found if role not in task.roles
    ]
    faults += [
        f"{role!r}: {wanted}, found {found.count(role)} with this role" for role in task.roles if found.count(role) != 1
    ]
    if faults:
        raise InputError(*faults)
    images = dict(given)
    return {role: images[role] for role in task.roles}
