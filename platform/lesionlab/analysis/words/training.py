"""What is said of the training of the networks."""

from __future__ import annotations

from lesionlab.analysis.words.captions import Caption
from lesionlab.analysis.words.numbers import count_of

STEP_AXIS, LOSS_AXIS = "Training step", "Loss"
AT_SIZE = "N = {}"


def losses(about: str) -> Caption:
    """Of the loss curves of one table's models."""
    return Caption(
        f"Training loss{about}.",
        "One line per network (fold and seed): mean loss of each epoch on its training patches, by step. The loss says "
        "whether a network converged; it is not its performance on the tested studies.",
        "Loss curves of the trained networks; `lesionlab export` gives the numbers",
    )


def recorded(with_history: int, trained: int) -> str:
    """How many of the trained networks have a history."""
    lacking = trained - with_history
    rest = f"; {count_of(lacking, 'network')} of earlier versions left none" if lacking else ""
    return f"Loss of {count_of(with_history, 'trained network')}{rest}."
