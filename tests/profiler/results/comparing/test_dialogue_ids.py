from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from profiler.results.comparing import dialogue_ids
from profiler.results.comparing.dialogue_ids import DialogueIds, places_of

if TYPE_CHECKING:
    import pytest

BLOCKS = st.lists(st.lists(st.text(max_size=4), min_size=1, max_size=5), max_size=6)


@given(BLOCKS)
def test_ids_are_found_by_place_whatever_is_in_them(blocks: list[list[str]]) -> None:
    ids, flat = DialogueIds(), [each for block in blocks for each in block]
    for block in blocks:
        ids.add(block)

    assert len(ids) == len(flat)
    assert list(ids) == flat
    assert [ids[place] for place in reversed(range(len(flat)))] == flat[::-1]


@given(st.lists(st.text(max_size=2), unique=True, max_size=20), st.lists(st.text(max_size=2), unique=True, max_size=20))
def test_ids_are_found_among_others_in_any_order(here: list[str], there: list[str]) -> None:
    wanted, among = DialogueIds(), DialogueIds()
    wanted.add(here)
    among.add(there)
    assert list(places_of(wanted, among)) == [there.index(each) if each in there else -1 for each in here]
    assert wanted.same_as(among) == (here == there)


def test_ids_that_share_their_leading_bits_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, among = DialogueIds(), DialogueIds()
    wanted.add(["1", "2", "3", "9"])
    among.add(["3", "2", "1"])
    monkeypatch.setattr(dialogue_ids, "hash", int, raising=False)  # the leading bits of small numbers are all alike
    assert list(places_of(wanted, among)) == [2, 1, 0, -1]


def test_a_run_in_the_same_order_is_known_in_whatever_blocks_it_was_read() -> None:
    ids, others = DialogueIds(), DialogueIds()
    ids.add(["a", "b"])
    ids.add(["c", "d\ne"])
    others.add(["a"])
    others.add(["b", "c", "d\ne"])

    assert ids.same_as(others)
    others.add(["f"])
    assert not ids.same_as(others)
