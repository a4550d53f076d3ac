"""Nothing in; ANTs, such that it computes the same bits each time, out. No other module imports `ants`."""

from __future__ import annotations

import os
import sys
from types import ModuleType

from lesionlab.errors import LesionlabError

_THREADS = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"
_SEED = "ANTS_RANDOM_SEED"


def load_ants() -> ModuleType:
    """The module `ants`, on one thread and with a fixed seed, whatever the environment asked for.

    Sums over several threads come out in another order each time, and with them the transform. ITK reads the number
    of threads once, before its first filter, so it must stand in the environment before the first import: that is why
    `ants` is imported here and not at the top of a module. The seed is read at each registration; the argument
    `random_seed` of `ants.registration` (antspyx 0.6.3) does nothing. Raises LesionlabError where `ants` was imported
    by someone else under more threads, for then nobody can make it repeatable any more.
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
