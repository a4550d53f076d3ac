"""Write every reference lesion and every predicted lesion of every run as one CSV, in full precision, run by run."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from operator import attrgetter

from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.delimited import shown_as_text
from storage_schemas.axes import Axes, told
from storage_schemas.base import Digest, as_columns
from storage_schemas.results import LesionRow, StudyColumns

MOST_FALSE_POSITIVES = 500
"""Of one study under one run; a network that failed has thousands of single voxels. The largest are kept."""

_OF_STUDY = ("study", "patient", "site")
_OF_LESION = tuple(
    name for name in LesionRow.model_fields if name not in StudyColumns.model_fields and name != "experiment"
)


@dataclass(frozen=True)
class LesionFile:
    """The file, and what is not in it."""

    data: bytes
    lesions: int
    """Rows."""
    left_out: int
    """False positives beyond MOST_FALSE_POSITIVES, all smaller than those of their study that are there."""


def lesion_file(lesions: Mapping[Digest, Sequence[LesionRow]]) -> LesionFile:
    """Write the lesions by run: model, fold, seed and run first, then study, side, outcome, volume, place and overlap.

    A reference lesion is `true-positive` or `missed`, a predicted one `true-positive` or `false-positive`.
    """
    axes = told(own[0].only(Condition) for own in lesions.values() if own)
    names = (*axes, *(name for name in ("fold", "seed") if name not in axes), "run_id")
    data, count, left_out = BytesIO(), 0, 0
    with TextIOWrapper(data, encoding="utf-8", newline="", write_through=True) as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*names, *_OF_STUDY, *_OF_LESION])
        read = attrgetter(*_OF_STUDY, *_OF_LESION)
        for own in lesions.values():
            if not own:
                continue
            of_run = as_columns(own[0].only(Axes)) | {"run_id": own[0].run_id}
            kept = list(_kept(own))
            writer.writerows(shown_as_text([*(of_run[name] for name in names), *read(lesion)]) for lesion in kept)
            count, left_out = count + len(kept), left_out + len(own) - len(kept)
        text.flush()
        return LesionFile(data.getvalue(), count, left_out)


def _kept(own: Sequence[LesionRow]) -> Iterable[LesionRow]:
    """All lesions in their order, without the smallest false positives of a study that has too many."""
    wrong: dict[str, list[LesionRow]] = defaultdict(list)
    for lesion in own:
        if lesion.outcome == "false-positive":
            wrong[lesion.study].append(lesion)
    dropped = {
        (study, lesion.lesion)
        for study, found in wrong.items()
        for lesion in sorted(found, key=lambda one: (-one.volume_mm3, one.lesion))[MOST_FALSE_POSITIVES:]
    }
    return (
        lesion
        for lesion in own
        if not dropped or lesion.outcome != "false-positive" or (lesion.study, lesion.lesion) not in dropped
    )
