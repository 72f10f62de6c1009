from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from profiler.results.comparing.dialogue_ids import DialogueIds

BLOCKS = st.lists(st.lists(st.text(max_size=4), min_size=1, max_size=5), max_size=6)


@given(BLOCKS)
def test_ids_are_found_by_place_whatever_is_in_them(blocks: list[list[str]]) -> None:
    ids, flat = DialogueIds(), [each for block in blocks for each in block]
    for block in blocks:
        ids.add(block)

    assert len(ids) == len(flat)
    assert list(ids) == flat
    assert [ids[place] for place in reversed(range(len(flat)))] == flat[::-1]
    assert all(flat[ids.place_of(each)] == each for each in flat)
    assert ids.place_of("longer than any") == -1


def test_a_run_in_the_same_order_is_seen_at_once() -> None:
    ids = DialogueIds()
    ids.add(["a", "b"])
    ids.add(["c", "d\ne"])

    assert ids.go_on_with(["a", "b"], 0)
    assert ids.go_on_with(["c", "d\ne"], 2)
    assert not ids.go_on_with(["a"], 0)
    assert not ids.go_on_with(["b"], 1)
    assert not ids.go_on_with(["a", "b"], 4)
