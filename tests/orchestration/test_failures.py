"""What ends a run at once, what is started again, and how often."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from lesionlab.errors import (
    DatasetError,
    InputError,
    LesionlabError,
    RunFailed,
    RunHeld,
    RunYielded,
    TrainingError,
    TransferError,
)
from lesionlab.experiments.leases import claim_run, record_end, record_failure
from lesionlab.experiments.ledger import close_run
from lesionlab.orchestration import execution
from lesionlab.orchestration.failures import Starts, failure_kind, root_cause, told_by_kind
from lesionlab.orchestration.room import Room
from lesionlab.store.documents import read_document
from lesionlab.store.objects import open_store
from storage_schemas import keys
from storage_schemas.leases import Failure
from tests.experiments.drawn import ledger_entry
from tests.training.drawn import draw_study, make_run

RUN = "0123456789abcdef"

GLOO = RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.7]:51002")
NCCL = RuntimeError("NCCL error in: ProcessGroupNCCL.cpp:3384, unhandled system error, NCCL version 2.27.5")
ECC = RuntimeError("CUDA error: uncorrectable ECC error encountered")


class RayActorError(Exception):
    """Of Ray's name: its module is not imported by what classifies."""


class PreemptionError(Exception):
    """Of Ray Train's name."""


DIED = RayActorError("The actor died unexpectedly before finishing this task.")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TransferError("weights were altered"), "refused"),
        (DatasetError("sub-01: no FLAIR"), "refused"),
        (RunHeld("executed by eva@north"), "refused"),
        (MemoryError(), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"), "memory"),
        (RayActorError("The actor died ... Task was killed due to the node running low on memory."), "memory"),
        (RunYielded("its node is about to be taken away"), "lost"),
        (DIED, "lost"),
        (PreemptionError("Training was interrupted by node preemption"), "lost"),
        (GLOO, "lost"),
        (ConnectionResetError(), "lost"),
        (NCCL, "hardware"),
        (ECC, "hardware"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "hardware"),
        (KeyError("a bug"), "error"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "error"),
        (ValueError("nccl is no device"), "error"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_failure_has_the_kind_of_its_cause(error, kind):
    assert failure_kind(error) == kind


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([GLOO, TransferError("altered"), DIED], "refused"),
        ([GLOO, torch.OutOfMemoryError("CUDA out of memory")], "memory"),
        ([NCCL, DIED], "lost"),
        ([GLOO, ECC], "hardware"),
        ([GLOO, KeyError("a bug")], "error"),
        ([GLOO], "lost"),
    ],
    ids=["refusal", "memory", "loss beside NCCL", "GPU beside a connection", "bug beside a connection", "connection"],
)
def test_the_root_cause_of_a_group_is_what_explains_the_errors_of_the_others(errors, kind):
    assert failure_kind(root_cause(errors)) == failure_kind(root_cause(errors[::-1])) == kind


def test_lost_workers_are_free_while_checkpoints_advance_and_three_losses_at_one_step_end_the_run():
    starts = Starts()
    assert all(starts.may_start_again("lost", step) for step in (10, 20, 20, 30, 30, 40))
    assert starts.may_start_again("lost", 40)
    assert not starts.may_start_again("lost", 40)
    message = str(starts.given_up(RunFailed("lost", "node 7 is gone")))
    assert message.startswith("its workers were lost 3 times without progress beyond step 40; processes that vanish")
    assert message.endswith("the last time: node 7 is gone")


def test_a_run_that_never_saved_a_checkpoint_has_three_starts_too():
    starts = Starts()
    assert [starts.may_start_again("lost", 0) for _ in range(3)] == [True, True, False]


def test_a_fault_of_a_gpu_gets_one_more_start_from_the_same_step():
    starts = Starts()
    assert [starts.may_start_again("hardware", step) for step in (10, 20, 20)] == [True, True, False]
    assert "a GPU or its network failed 2 times" in str(starts.given_up(RunFailed("hardware", "ECC")))


@pytest.mark.parametrize("kind", ["refused", "memory", "error"])
def test_what_would_fail_again_ends_the_run_at_once(kind):
    assert not Starts().may_start_again(kind, 100)


def test_an_error_of_a_worker_crosses_processes_with_its_kind_and_node():
    with pytest.raises(RunFailed) as raised, told_by_kind("node-7"):
        raise ECC
    copy = pickle.loads(pickle.dumps(raised.value))
    assert (copy.kind, copy.node, str(copy)) == ("hardware", "node-7", f"RuntimeError: {ECC}")
    with pytest.raises(LesionlabError, match="altered") as refused, told_by_kind("node-7"):
        raise TransferError("altered")
    assert type(refused.value) is TransferError


def test_the_end_of_a_run_is_recorded_unless_its_last_attempt_did_so():
    store = open_store("memory://")
    claim = claim_run(store, RUN, "a" * 16, "eva@north")
    key = keys.FAILURE.build(run_id=RUN)
    record_end(store, RUN, "a" * 16, "lost", "its workers were lost 3 times")
    found = read_document(store, key, Failure)
    assert (found.kind, found.holder, found.number) == ("lost", "eva@north", 1)
    record_failure(store, claim.lease, "memory", "CUDA out of memory")
    record_end(store, RUN, "a" * 16, "lost", "its workers were lost 3 times")
    assert read_document(store, key, Failure).kind == "memory"


def test_the_end_of_a_run_that_never_began_is_recorded_too():
    store = open_store("memory://")
    record_end(store, RUN, "a" * 16, "lost", "its process was lost")
    assert read_document(store, keys.FAILURE.build(run_id=RUN), Failure).number == 1


def test_the_end_of_a_run_that_others_took_over_or_completed_is_not_recorded():
    store = open_store("memory://")
    key = keys.FAILURE.build(run_id=RUN)
    with claim_run(store, RUN, "b" * 16, "ola@south"):
        record_end(store, RUN, "a" * 16, "lost", "its workers were lost 3 times")
        close_run(store, ledger_entry(RUN))
    record_end(store, RUN, "a" * 16, "lost", "its workers were lost 3 times")
    assert not store.exists(key)


def test_a_plain_run_without_memory_is_named_and_the_next_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [make_run([draw_study(1)], seed=seed) for seed in range(2)]
    executed = []

    def lacks_memory(worker, task):
        executed.append(task)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(execution, "run_cell", lacks_memory)
    store = open_store((tmp_path / "store").as_uri())
    with pytest.raises(TrainingError) as failed:
        execution.execute(runs, store, tmp_path, plain=True, room=Room("cpu"))
    assert len(executed) == 2
    assert all("OutOfMemoryError: CUDA out of memory" in fault for fault in failed.value.args[:2])
    assert failed.value.args[2].startswith("2 of 2 runs failed")
    assert failed.value.args[2].endswith(". Run the same command again")


def test_after_a_refusal_its_own_advice_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(worker, task):
        raise InputError("a site's policy forbids it; plan again with --replan")

    monkeypatch.setattr(execution, "run_cell", refuses)
    store = open_store((tmp_path / "store").as_uri())
    with pytest.raises(TrainingError) as failed:
        execution.execute([make_run([draw_study(1)])], store, tmp_path, plain=True, room=Room("cpu"))
    assert ". Do as the refusals say, then run" in failed.value.args[1]
