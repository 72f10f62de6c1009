"""What is seen of a box decides, not how busy the machine is that looks at it."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from task_kit.sandbox import supervisor, tree
from task_kit.sandbox import watch as watch_module
from task_kit.sandbox.boxes import Box
from task_kit.sandbox.spec import Limits
from task_kit.sandbox.watch import Watch

if TYPE_CHECKING:
    from task_kit.sandbox.plan import Plan

FIELDS = 24


def process(*, state: bytes = b"R", cpu_s: float = 0.0) -> list[bytes]:
    fields = [b"0"] * FIELDS
    fields[tree.STATE] = state
    fields[tree.THREADS] = b"1"
    fields[tree.USER_TIME] = b"%d" % round(cpu_s * tree.TICKS)
    return fields


class Shown(Box):
    """Its processes are those that it is told; waiting for it takes the time that it is waited for."""

    bounded = True

    def __init__(self, *processes: list[bytes], gone_at: float = 1e9, burns: float = 0.0) -> None:
        super().__init__(cast("Plan", {"limits": asdict(Limits())}))
        self.shown = processes
        self.gone_at = gone_at
        self.burns = burns
        self.now = 0.0

    def processes(self) -> dict[int, list[bytes]]:
        own = [process(cpu_s=self.now * self.burns)] if self.burns else []
        return dict(enumerate([*self.shown, *own]))

    def alone(self, seconds: float) -> bool:
        self.now += seconds
        return self.now > self.gone_at


@pytest.mark.parametrize(
    ("processes", "reason"),
    [([process(cpu_s=1.0)] * 65, "processes"), ([process(cpu_s=11.0)], "cpu"), ([process()], "timeout")],
)
def test_who_looks_too_late_sees_what_it_was_all_the_same(processes: list[list[bytes]], reason: str) -> None:
    watch = Watch(Shown(*processes))
    watch.deadline = watch.started

    assert watch.look() == reason


class Clock:
    """Each look comes a second after the one before."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(("waited_share", "seconds"), [(0.0, 10), (0.5, 20), (0.9, 60), (1.0, 60)])
def test_what_a_box_waits_for_its_turn_is_not_its_own_time(
    monkeypatch: pytest.MonkeyPatch, waited_share: float, seconds: int
) -> None:
    """Up to six times its limit: then it has had its chance on any machine."""
    clock = Clock()
    monkeypatch.setattr(watch_module, "time", clock)
    monkeypatch.setattr(tree, "turns_waited_for_s", lambda pids, *, proc: {"1": clock.now * waited_share})
    watch = Watch(Shown(process()))

    while watch.look() is None:
        clock.now += 1.0

    assert clock.now == seconds


def test_a_task_that_waits_counts_once_however_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(watch_module, "time", clock)
    monkeypatch.setattr(
        tree, "turns_waited_for_s", lambda pids, *, proc: dict.fromkeys(map(str, range(50)), clock.now / 2)
    )
    watch = Watch(Shown(process()))
    clock.now = 4.0

    watch.look()
    assert watch.own_s() == 2.0


def test_who_makes_looking_slow_is_not_left_alone_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(9))
    monkeypatch.setattr(watch_module, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    watch = Watch(Shown(process()))

    assert watch.look() is None
    assert watch.pause == watch_module.MOST_PAUSE_S


@pytest.mark.parametrize(
    ("box", "stays", "seconds"),
    [
        (Shown(process(state=b"R"), gone_at=4.0), False, 4.1),
        (Shown(process(state=b"R")), True, 10.0),
        (Shown(process(state=b"S"), gone_at=4.0), True, 0.2),
        (Shown(burns=0.5), True, 2.1),
        (Shown(*[process()] * 65), True, 0.1),
    ],
    ids=["waits for a turn", "waits for ever", "sleeps", "works", "multiplies"],
)
def test_who_waits_for_a_turn_is_not_left_over(
    box: Shown, stays: bool, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: box.now))
    watch = Watch(box)
    watch.deadline = 10.0

    assert supervisor.left_over(box, watch) is stays
    assert box.now == pytest.approx(seconds, abs=0.11)
