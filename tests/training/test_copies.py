"""Copies are made when their first patch is cut, and processes that need the same ones never queue up."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from lesionlab.errors import TrainingError
from lesionlab.store.files import locked
from lesionlab.training import augmented
from lesionlab.training.augmented import copy_name
from lesionlab.training.copies import Copies, epoch_patches, first_use
from lesionlab.training.feed import load
from tests.training.drawn import draw_study, make_run

STUDIES = [draw_study(number) for number in (1, 2, 3)]
RUN = make_run(STUDIES, augmentations=2, patches_per_study=4, batch_size=2)


def made(cache):
    """How many copies lie in the cache."""
    return len(list(cache.glob("augmented/*/SHA256SUMS")))


def lock_of(number, cache):
    entry = RUN.train[number // 2]
    return cache / "augmented" / f"{copy_name(entry.study, entry.volume, number % 2, RUN.training, RUN.seed)}.lock"


def test_the_first_batch_makes_the_copies_of_its_own_patches_alone(tmp_path):
    patches = epoch_patches(RUN, 0, Copies(RUN, STUDIES, tmp_path))
    assert len(patches) == 6 * 4
    assert made(tmp_path) == 0
    load(patches[:1], RUN.training, torch.device("cpu"))
    assert made(tmp_path) == 1


def test_a_copy_that_somebody_else_makes_is_left_to_them_and_come_back_to(tmp_path):
    copies = Copies(RUN, STUDIES, tmp_path)
    (tmp_path / "augmented").mkdir()
    with ThreadPoolExecutor(1) as pool:
        with locked(lock_of(2, tmp_path)):
            found = pool.submit(copies.__getitem__, 2)
            while made(tmp_path) < 5:
                assert not found.done()
            assert not found.done()
        assert (found.result(10).study, found.result().copy) == ("sub-002", 0)
    assert made(tmp_path) == 6


def test_two_that_need_the_same_copies_make_each_once_and_both_make_some(tmp_path, monkeypatch):
    by_thread, together = {}, threading.Barrier(2)
    right = augmented._make_copy

    def counted(folder, **given):
        mine = by_thread.setdefault(threading.get_ident(), [])
        if not mine:
            together.wait(10)  # both are making their first copy at the same time
        mine.append(folder.name)
        right(folder, **given)

    monkeypatch.setattr(augmented, "_make_copy", counted)
    with ThreadPoolExecutor(2) as pool:
        both = [Copies(RUN, STUDIES, tmp_path) for _ in range(2)]
        first, second = pool.map(lambda copies: [copies[number] for number in range(6)], both)
    assert [(one.study, one.copy) for one in first] == [(one.study, one.copy) for one in second]
    names = [name for own in by_thread.values() for name in own]
    assert len(by_thread) == 2
    assert len(names) == len(set(names)) == 6


def test_threads_make_the_copies_ahead_in_the_order_of_need_and_end_with_the_block(tmp_path):
    copies = Copies(RUN, STUDIES, tmp_path)
    order = first_use(RUN, 0, copies)
    assert sorted(order) == list(range(6))
    patches = epoch_patches(RUN, 0, copies)
    assert order[0] == patches[0].draws.number
    with copies.made_ahead(order, threads=2):
        found = [copies[number] for number in range(6)]
    assert made(tmp_path) == 6
    alone = Copies(RUN, STUDIES, tmp_path / "alone")
    for number, copy in enumerate(found):
        assert copy.image_CIJK.tobytes() == alone[number].image_CIJK.tobytes()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lesionlab-copies")]


def test_what_goes_wrong_in_a_thread_is_raised_where_the_copy_is_asked_for(tmp_path):
    (tmp_path / "augmented").touch()  # no folder can be made there
    copies = Copies(RUN, STUDIES, tmp_path)
    with copies.made_ahead([0, 1], threads=1), pytest.raises(TrainingError, match="cannot write a deformed copy"):
        copies[0]


def test_there_are_no_further_copies(tmp_path):
    with pytest.raises(IndexError):
        Copies(RUN, STUDIES, tmp_path)[6]
