"""Print a decision on retraining and what became of it."""

from __future__ import annotations

from jobs.shared.console import console
from storage_schemas.retraining import RetrainDecision, RetrainOutcome


def show_decision(decision: RetrainDecision, outcome: RetrainOutcome | None) -> None:
    """Print the verdict, the reasons and the numbers."""
    console.print(f"{decision.date}, {decision.model}: {decision.verdict}")
    for reason in decision.reasons:
        console.print(f"  {reason}")
    console.print(
        f"  {decision.patients_before} patients trained on before, {decision.patients_now} now, "
        f"{decision.new_patients} of them new; {decision.set_aside} studies set aside for benchmarks"
    )
    expected = "unknown" if decision.expected_gpu_hours is None else f"{decision.expected_gpu_hours:.2f}"
    left = "the gate knows" if decision.looks_left is None else decision.looks_left
    console.print(f"  GPU hours: {decision.spent_gpu_hours:.2f} spent, {expected} expected; looks left: {left}")
    console.print(f"  next date: {decision.next_date}")
    if decision.run and not outcome:
        console.print(
            f"candidate {decision.model}@{decision.run} waits for a look: "
            f"lesionlab retrain {decision.model}@{decision.rule} --part look"
        )
    if outcome:
        state = "promoted" if outcome.promoted else "not promoted"
        console.print(f"candidate {decision.model}@{outcome.candidate}: {state}: {outcome.note}")
