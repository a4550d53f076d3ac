"""Estimate what an experiment costs on a cluster and print it: hours, GPU hours, price, bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Annotated, Any

import typer

from jobs.shared.console import console, notes
from jobs.shared.options import connect_to_read
from jobs.shared.submitting import Place
from lesionlab.experiments.costs import Amount, Cost, Finished, cost_of, finished_runs, rates_by_device
from lesionlab.experiments.footprint import Footprint, footprint
from lesionlab.experiments.rehearsal import rehearse
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.runs import RunSpec
from storage_schemas.submissions import Device, Submission

PriceOption = Annotated[
    float | None,
    typer.Option(metavar="P", min=0.0, help="Price of an hour of one GPU (or CPU); also print the price of the whole."),
]

CPU = "cpu"
"""The device of ledger entries that no GPU made."""

_GIB = 2**30
_SPARE = 1.1
"""File systems need a little more than the arrays."""

_MOST_NAMED = 3


@dataclass(frozen=True)
class Nodes:
    """Where runs execute at once."""

    gpus: float | None
    """GPUs, or CPUs; None: not known."""
    share: float
    """Of a GPU that one worker uses."""
    slots: int | None


NO_COST = "cost: none, no run is missing"


@dataclass(frozen=True)
class Estimate:
    """What the missing runs of an experiment cost."""

    costs: tuple[Cost, ...]
    footprint: Footprint
    missing: int

    def show(self, price: float | None) -> None:
        if not self.missing:
            console.print(NO_COST)
            return
        console.print(f"cost of the {self.missing} runs that are missing:")
        show_cost(self.costs, price)
        show_footprint(self.footprint)

    def as_json(self, price: float | None) -> dict[str, Any]:
        costs = [asdict(cost) | {"price": _price(cost, price)} for cost in self.costs]
        return {"missing_runs": self.missing, "by_device": costs, "bytes": asdict(self.footprint)}


def estimated(
    spec: ExperimentSpec,
    store_uri: str,
    gpus: int | None,
    cpus: int | None,
    slots: int | None,
    share: float,
) -> Estimate:
    """From finished runs like these; of a device without any, from a calibration if this machine has it."""
    store = connect_to_read(store_uri)
    rehearsal, finished = rehearse(spec, store), finished_runs(store)
    device: Device = "cuda" if gpus is not None else "cpu"
    nodes = Nodes(gpus or cpus, share if gpus is not None else 1.0, slots)
    costs = known_costs(rehearsal.missing, finished, device, nodes)
    if rehearsal.missing and not any(cost.gpu_hours for cost in costs):
        costs = (*costs, *_calibrated(rehearsal.missing, device, nodes))
    return Estimate(costs, footprint(store, rehearsal.missing, finished), len(rehearsal.missing))


def known_costs(
    runs: Sequence[RunSpec], finished: Sequence[Finished], device: Device, nodes: Nodes
) -> tuple[Cost, ...]:
    """One for each GPU (or the CPU) on which runs of the store were executed; those that know all runs come first."""
    rates = (
        {name: own for name, own in rates_by_device(finished).items() if (name == CPU) is (device == "cpu")}
        if runs
        else {}
    )
    costs = [
        cost_of(runs, own, name, gpus=nodes.gpus, share=nodes.share, slots=nodes.slots) for name, own in rates.items()
    ]
    return tuple(sorted(costs, key=lambda cost: (cost.gpu_hours is None, cost.device)))


def room_of(submission: Submission, place: Place) -> Nodes:
    """Where a submission's runs would execute."""
    on_gpus = submission.device == "cuda"
    known = place.gpus if on_gpus else submission.slots
    return Nodes(known, submission.gpus_per_worker if on_gpus else 1.0, submission.slots)


def _calibrated(runs: Sequence[RunSpec], device: Device, nodes: Nodes) -> tuple[Cost, ...]:
    """Empty if this machine has no such device."""
    import torch  # imported here: only a calibration needs it

    from lesionlab.model.devices import device_name
    from lesionlab.orchestration.calibration import CALIBRATION_S, calibrated

    if not runs or (device == "cuda" and not torch.cuda.is_available()):
        return ()
    here = torch.device(device)
    notes.print(f"no finished run like these: measuring this machine's {device_name(here)} for {CALIBRATION_S:g} s")
    name = f"{device_name(here)} of this machine"
    rates = calibrated(runs, here)
    return (cost_of(runs, rates, name, gpus=nodes.gpus, share=nodes.share, slots=nodes.slots),)


def show_cost(costs: Sequence[Cost], price: float | None) -> None:
    """One line for each device."""
    if not costs:
        console.print(
            "hours, GPU hours: unknown, no run like these is finished on such a device (lesionlab plan --gpus)"
        )
    for cost in costs:
        if cost.gpu_hours is None:
            named = "; ".join(cost.unknown[:_MOST_NAMED])
            more = f" and {len(cost.unknown) - _MOST_NAMED} more" if len(cost.unknown) > _MOST_NAMED else ""
            console.print(f"on {cost.device}: unknown, no run is finished like: {named}{more}")
            continue
        unit = "CPU hours" if cost.device.startswith(CPU) else "GPU hours"
        money = _price(cost, price)
        parts = [
            f"{text(cost.hours)} hours" if cost.hours else "hours unknown (--slots says how many runs at once)",
            f"{text(cost.gpu_hours)} {unit}",
            *([] if money is None or price is None else [f"price {text(cost.gpu_hours.times(price))}"]),
        ]
        source = f"from {cost.finished} finished runs" if cost.finished else "calibrated, steps of the network alone"
        console.print(f"on {cost.device}: {', '.join(parts)} ({source})")


def show_footprint(found: Footprint) -> None:
    """One line of bytes."""
    written = f"{gib(found.written)} written to the store" if found.written is not None else "written: unknown"
    console.print(f"bytes: {gib(found.read)} read from the store by a node, {gib(found.cache)} cached there, {written}")


def cache_gi(found: Footprint) -> int:
    """GiB of a node's cache of volumes, as a pod asks for them."""
    return max(1, ceil(found.cache * _SPARE / _GIB))


def text(amount: Amount) -> str:
    """`12 ± 2`; without ± if too few runs are known."""
    value = amount.value
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}" + ("" if amount.spread is None else f" ± {value * amount.spread:.{digits}f}")


def gib(size: float) -> str:
    """`1.2 GiB`, `340 MiB`, `12 kiB`."""
    for unit, bytes_ in (("GiB", _GIB), ("MiB", 2**20)):
        if size >= bytes_:
            return f"{size / bytes_:.3g} {unit}"
    return f"{size / 1024:.3g} kiB"


def _price(cost: Cost, price: float | None) -> float | None:
    return None if price is None or cost.gpu_hours is None else cost.gpu_hours.value * price
