"""Leases: of all who want one thing at one time at most one has it, as long as nobody stands still for a minute."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from profiler.core.errors import RunDirectoryError
from profiler.storage.shared_runs import lease
from profiler.storage.shared_runs.lease import Claimed, Lease, is_taken, take

MEMORY = Path("/dev/shm")
WHO = st.integers(0, 2)


def age(folder: Path, by: float) -> None:
    """As if so many seconds had passed on the clock of the file system."""
    for path in folder.glob("it.lease.*"):
        at = path.stat().st_mtime - by
        os.utime(path, (at, at))


class Wanting(RuleBasedStateMachine):
    """Three processes that take, renew and release one lease, stand still, are killed, and wake up late."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.held: dict[int, Lease] = {}
        self.heard: dict[int, float] = {}  # seconds since it was renewed

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @property
    def rightful(self) -> list[int]:
        return [who for who, since in self.heard.items() if since < lease.LAPSES_AFTER_S]

    @rule(who=WHO)
    def takes(self, who: int) -> None:
        if who in self.held:
            return
        free = not self.rightful
        try:
            self.held[who] = take(self.folder, "it")
        except Claimed:
            assert not free
        else:
            assert free
            self.heard = {who: 0.0}

    @rule(who=WHO)
    def renews(self, who: int) -> None:
        if who not in self.held:
            return
        try:
            self.held[who].renew()
        except RunDirectoryError:
            assert who not in self.heard  # only who was taken for dead, and followed by another
            del self.held[who]
        else:
            assert who in self.heard
            self.heard[who] = 0.0

    @rule(who=WHO)
    def releases(self, who: int) -> None:
        if (held := self.held.pop(who, None)) is not None:
            held.release()
            self.heard.pop(who, None)

    @rule(who=WHO)
    def is_killed(self, who: int) -> None:
        if self.held.pop(who, None) is not None and who in self.heard:
            self.heard[-1 - who] = self.heard.pop(who)  # nobody renews it any more

    @rule(by=st.sampled_from([9.0, 61.0]))
    def time_passes(self, by: float) -> None:
        age(self.folder, by)
        self.heard = {who: since + by for who, since in self.heard.items()}

    @invariant()
    def one_has_it_at_most(self) -> None:
        assert len(self.rightful) <= 1
        assert is_taken(self.folder, "it") == bool(self.rightful)


Wanting.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestOneHasIt = Wanting.TestCase


def test_who_has_looked_at_the_folder_long_ago_does_not_insist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sees a dead lease; before it takes the next number another one has come and gone, and a third has it now."""
    take(tmp_path, "it")
    age(tmp_path, 61)
    seen = lease._generations
    third: list[Lease] = []

    def late(folder: Path, name: str) -> list[Path]:
        found = seen(folder, name)
        monkeypatch.setattr(lease, "_generations", seen)
        take(folder, "it").release()
        third.append(take(folder, "it"))
        return found

    monkeypatch.setattr(lease, "_generations", late)
    with pytest.raises(Claimed, match="begins at the same time"):
        take(tmp_path, "it")
    third[0].renew()


def test_a_claim_says_who_has_it_and_when_it_lapses(tmp_path: Path) -> None:
    take(tmp_path, "it")
    with pytest.raises(Claimed, match=rf"it is in the hands of .*, process {os.getpid()}$") as caught:
        take(tmp_path, "it")
    assert caught.value.hint is not None
    assert "it is taken for dead in 60 s" in caught.value.hint


def test_a_file_system_that_fails_for_a_moment_is_borne(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = take(tmp_path, "it")
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    held.renew()

    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as failed:
        failed.setattr(os, "utime", failing)
        clock[0] = 59.0
        held.renew()
        clock[0] = 61.0
        with pytest.raises(RunDirectoryError, match="was not heard of for 60 s"):
            held.renew()
    with suppress(OSError):
        held.release()
    assert not is_taken(tmp_path, "it")
