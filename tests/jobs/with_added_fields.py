"""Run a command as a later release would, in which every document has one more field.

`python -m tests.jobs.with_added_fields runs EXPERIMENT …` is `lesionlab runs EXPERIMENT …` by such a release.
"""

from __future__ import annotations

import sys
from typing import Any

from pydantic._internal._model_construction import ModelMetaclass

ADDED = "added_later"


def _later(
    mcs: type[ModelMetaclass], name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any
) -> Any:
    of_the_project = str(namespace.get("__module__", "")).startswith("storage_schemas.")
    if of_the_project and name not in ("Document", "Named"):
        # Annotations are strings in these modules, as they have `from __future__ import annotations`.
        namespace["__annotations__"] = namespace.get("__annotations__", {}) | {ADDED: "int"}
        namespace[ADDED] = 7
    return _made(mcs, name, bases, namespace, **kwargs)


_made = ModelMetaclass.__new__
ModelMetaclass.__new__ = _later  # type: ignore[method-assign,assignment]

if __name__ == "__main__":
    from jobs.cli import main
    from storage_schemas.runs import RunSpec, TrainingConfig

    assert ADDED in RunSpec.model_fields
    assert ADDED in TrainingConfig.model_fields
    sys.argv[0] = "lesionlab"
    main()
