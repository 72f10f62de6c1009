"""That one peer's trouble is not everybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from benchmarks import peer_programs, peer_runs
from benchmarks.figure import Scale
from benchmarks.peer_programs import Asked, Course, Peer, Took, WrongAnswers
from benchmarks.process import ChildFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SIZES = {4: 100, 8: 200}


class Stub:
    """A course on which some fall over."""

    def __init__(self, falls: dict[str, Exception]) -> None:
        self._falls = falls

    def take(self, peer: Peer, asked: Sequence[Asked]) -> list[Took]:
        if error := self._falls.get(peer.name):
            raise error
        return [Took(count=leg.count, wall_s=float(leg.in_flight), cpu_s=0.5, peak_mb=9.0) for leg in asked]


def held(scale: Scale, peers: Sequence[Peer], **falls: Exception) -> peer_runs.Taken:
    return peer_runs.held(scale, cast("Course", Stub(falls)), dict.fromkeys(peers, SIZES))


@pytest.fixture
def scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scale:
    stamp = tmp_path / ".made-from"
    stamp.write_bytes(peer_programs.PINS.read_bytes())
    monkeypatch.setattr(peer_programs, "STAMP", stamp)
    return Scale(folder=tmp_path, runs=3)


def test_legs_are_sorted_by_peer_and_by_number_in_flight(scale: Scale) -> None:
    taken = held(scale, [peer_programs.FAST, peer_programs.SOCKETS])

    assert list(taken) == [peer_programs.FAST, peer_programs.SOCKETS]
    assert {n: [leg.rate for leg in legs] for n, legs in taken[peer_programs.FAST].items()} == {
        4: [25.0] * 2,
        8: [25.0] * 2,
    }


@pytest.mark.parametrize("error", [ChildFailed("it ended\nsomewhere"), WrongAnswers("it ended\nsomewhere")])
def test_a_foreign_peer_that_fails_is_left_out_with_a_word(scale: Scale, error: Exception) -> None:
    taken = held(scale, [peer_programs.FAST, peer_programs.LITELLM], litellm=error)

    assert list(taken) == [peer_programs.FAST]
    assert scale.words == ["no figures of litellm: it ended"]


def test_our_own_failure_ends_it(scale: Scale) -> None:
    with pytest.raises(ChildFailed):
        held(scale, [peer_programs.FAST, peer_programs.LITELLM], fast_lane=ChildFailed("it ended"))


def test_the_rates_tell_what_they_cost(scale: Scale) -> None:
    rows = peer_runs.rates(held(scale, [peer_programs.SOCKETS]))

    assert [(row.name, row.value, row.note) for row in rows] == [
        ("sockets_4", 25.0, "100 dialogues, 5.000 ms CPU each, 9 MB"),
        ("sockets_8", 25.0, "200 dialogues, 2.500 ms CPU each, 9 MB"),
    ]
