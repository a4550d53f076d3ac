"""Parse `[ROLE=]IMAGE` arguments and assign the images to the roles of a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lesionlab.errors import InputError
from lesionlab.imaging.volume import Volume
from storage_schemas.tasks import Task


def role_and_path(image: str) -> tuple[str, Path]:
    """Split `ROLE=PATH`; the role of a path alone is empty."""
    role, equals, path = image.partition("=")
    return (role, Path(path)) if equals and not Path(image).exists() else ("", Path(image))


def images_by_role(given: Sequence[tuple[str, Volume]], task: Task) -> dict[str, Volume]:
    """The images in the task's order; if the task reads one image, it needs no role.

    Raises InputError with every role that is missing, repeated or unknown to the task.
    """
    if [role for role, _ in given] == [""] and len(task.roles) == 1:
        return {task.native: given[0][1]}
    found = [role for role, _ in given]
    wanted = f"task {task.name} wants {' '.join(f'{role}=IMAGE' for role in task.roles)}"
    faults = [f"{role or 'an image without a role'}: {wanted}" for role in found if role not in task.roles]
    faults += [
        f"{role}: {wanted}, found {found.count(role)} with this role" for role in task.roles if found.count(role) != 1
    ]
    if faults:
        raise InputError(*faults)
    images = dict(given)
    return {role: images[role] for role in task.roles}
