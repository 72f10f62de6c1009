"""What a broker that replaces another finds on disk."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from profiler.core.errors import RunDirectoryError
from profiler.fleet.broker.kept_money import NAME, KeptMoney
from profiler.fleet.broker.messages import MoneyUse
from profiler.fleet.broker.purse import Purse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def kept(folder: Path, *, told: int = 0) -> Iterator[tuple[Purse, KeptMoney]]:
    """A broker from its start to its kill; the folders of the run tell so much then."""
    purse = Purse(1000, gone=told)
    money = KeptMoney(folder, purse)
    try:
        yield purse, money
    finally:
        money.close()


def lend(purse: Purse, money: KeptMoney, who: str, *, seq: int, more: int, bound: int = 0) -> None:
    purse.renew(who, MoneyUse(bound=bound, more=more, least=more), seq=seq)
    money.write()


def test_a_worker_that_was_given_up_stays_so_however_often_the_broker_is_replaced(tmp_path: Path) -> None:
    with kept(tmp_path) as (purse, money):
        lend(purse, money, "a", seq=1, more=400)
        lend(purse, money, "b", seq=1, more=100)
        purse.settle("a", 250)
        money.write()
    for _ in range(3):
        with kept(tmp_path) as (purse, money):
            assert (money.found, purse.settled, purse.gone, purse.free) == (True, {"a"}, 250, 650)
            assert purse.accounts["b"].granted == 100


def test_what_the_folders_tell_is_news_only_beyond_what_was_lent(tmp_path: Path) -> None:
    with kept(tmp_path, told=50) as (purse, money):
        lend(purse, money, "a", seq=1, more=400)
        assert (money.found, purse.free) == (False, 550)
    with kept(tmp_path, told=449) as (purse, _):
        assert purse.free == 550
    with kept(tmp_path, told=500) as (purse, _):  # somebody has spent without a broker
        assert purse.free == 500


def test_half_a_line_was_told_to_nobody(tmp_path: Path) -> None:
    with kept(tmp_path) as (purse, money):
        lend(purse, money, "a", seq=1, more=400)
        lend(purse, money, "a", seq=2, more=100, bound=400)
    path = tmp_path / NAME
    assert len(path.read_bytes().splitlines()) == 3  # what was there at first, and each change once
    path.write_bytes(path.read_bytes()[:-3])

    with kept(tmp_path) as (purse, money):
        assert purse.accounts["a"].granted == 400
        lend(purse, money, "a", seq=2, more=50, bound=400)
    with kept(tmp_path) as (purse, _):
        assert purse.accounts["a"].granted == 450


def test_a_line_that_says_something_else_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"{}\nnothing\n")
    with pytest.raises(RunDirectoryError, match="expected what the broker has lent") as refused, kept(tmp_path):
        pass
    assert refused.value.hint is not None
    assert "remove it if no worker of this run is alive any more" in refused.value.hint


def test_where_there_are_no_locks_nobody_lends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two brokers could not tell each other apart."""

    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(RunDirectoryError, match="two brokers could lend one cap"):
        KeptMoney(tmp_path, Purse(1000, gone=0))
