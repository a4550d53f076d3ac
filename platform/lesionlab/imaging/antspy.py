"""Load ANTs so that it computes bit-identical results each time. No other module imports `ants`."""

from __future__ import annotations

import os
import sys
from types import ModuleType

from lesionlab.errors import LesionlabError

_THREADS = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"
_SEED = "ANTS_RANDOM_SEED"


def load_ants() -> ModuleType:
    """Import `ants` with one thread and a fixed seed, whatever the environment says.

    With several threads, sums are added in a different order each time, which changes the transform. ITK reads the
    number of threads once, before its first filter, so it must be in the environment before the first import. That is
    why `ants` is imported here and not at the top of a module. The seed is read at each registration; the argument
    `random_seed` of `ants.registration` (antspyx 0.6.3) has no effect. Raises LesionlabError if other code has imported
    `ants` with more threads: results can then no longer be made reproducible.
    """
    if "ants" in sys.modules and os.environ.get(_THREADS) != "1":
        raise LesionlabError(
            f"ANTs: wanted {_THREADS}=1 before the first import of ants, found ants imported and "
            f"{_THREADS}={os.environ.get(_THREADS, 'unset')}; set it to 1 before Python starts, or do not import ants"
        )
    os.environ[_THREADS] = "1"
    os.environ[_SEED] = "1"
    import ants

    module: ModuleType = ants
    return module
