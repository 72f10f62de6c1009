from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.errors import UsageError
from profiler.core.nouns import Dialogue
from profiler.dataset.selection import ALL, Selection, apportioned, chosen, drawn, expect_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

TAGS = ("easy", "hard", "rare")


def dataset(count: int) -> list[Dialogue]:
    """Tags in the shares 60, 39 and 1 of a hundred, and some that have a second one."""
    return [
        Dialogue(
            dialogue_id=f"d{n}",
            user="u",
            tags=(TAGS[0 if n % 100 < 60 else 1 if n % 100 < 99 else 2], *(["x"] if n % 7 == 0 else [])),
        )
        for n in range(count)
    ]


FILE = dataset(3_000)


def ids(dialogues: Sequence[Dialogue] = FILE, **selection: Any) -> list[str]:
    wanted = Selection(**selection)
    return [each.dialogue_id for each in chosen(dialogues, wanted, belongs=drawn(dialogues, wanted))]


def test_without_a_choice_the_whole_file_is_asked() -> None:
    assert list(chosen(FILE, ALL, belongs=drawn(FILE, ALL))) == FILE
    assert ALL.is_all
    assert Selection(limit=3).is_all
    assert not Selection(sample=3).is_all


def test_ids_tags_sample_and_limit_hold_together_in_the_order_of_the_file() -> None:
    assert ids(ids=("d9", "d3", "d700")) == ["d3", "d9", "d700"]
    assert ids(tags=("rare",), limit=2) == ["d99", "d199"]
    assert ids(tags=("rare", "x")) == [each.dialogue_id for each in FILE if {"rare", "x"} <= set(each.tags)]
    assert ids(ids=("d9", "d99"), tags=("rare",)) == ["d99"]
    sampled = ids(tags=("hard",), sample=50)
    assert len(sampled) == 50
    assert ids(tags=("hard",), sample=50, limit=7) == sampled[:7]
    assert sampled == sorted(sampled, key=lambda name: int(name[1:]))


@pytest.mark.parametrize("by_tag", [False, True])
def test_a_sample_lies_inside_every_larger_one(by_tag: bool) -> None:
    before: set[str] = set()
    for size in (1, 2, 3, 10, 50, 51, 200, 2_000, 3_000, 4_000):
        sample = ids(sample=size, by_tag=by_tag)
        assert len(sample) == min(size, 3_000)
        assert before <= set(sample)
        before = set(sample)


def test_another_seed_is_another_sample_and_the_same_seed_the_same() -> None:
    assert ids(sample=100) == ids(sample=100)
    overlap = set(ids(sample=300)) & set(ids(sample=300, seed=1))
    assert 10 < len(overlap) < 60  # 30 by chance


def test_a_sample_is_fair() -> None:
    """Over 400 seeds each of 50 dialogues is drawn in a fifth of the samples: 80 ± 4.5 standard errors of 8."""
    counts = Counter(name for seed in range(400) for name in ids(FILE[:50], sample=10, seed=seed))
    assert len(counts) == 50
    assert all(44 < count < 116 for count in counts.values())


def test_a_file_that_grows_keeps_most_of_what_was_drawn() -> None:
    before, after = set(ids(FILE[:2_000], sample=200)), set(ids(FILE[:2_100], sample=200))
    assert len(before & after) > 180


def test_by_tag_every_first_tag_has_its_share() -> None:
    counts = Counter(FILE[int(name[1:])].tags[0] for name in ids(sample=200, by_tag=True))
    assert counts == {"easy": 120, "hard": 78, "rare": 2}


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 40), min_size=1), st.integers(0, 120))
def test_seats_are_all_given_in_proportion_and_never_taken_back(members: dict[str, int], size: int) -> None:
    seats, more = apportioned(size, members), apportioned(size + 1, members)
    total = sum(members.values())
    assert sum(seats.values()) == min(size, total)
    assert all(seats[name] <= members[name] for name in members)
    assert all(seats[name] <= more[name] for name in members)
    if total:
        assert all(abs(seats[name] - min(size, total) * members[name] / total) < len(members) for name in members)


def test_an_id_that_no_dialogue_has_is_a_mistake() -> None:
    expect_ids(FILE, Selection(ids=("d3", "d2999")))
    expect_ids(FILE, ALL)
    with pytest.raises(UsageError) as caught:
        expect_ids(FILE, Selection(ids=("d3", "d30000")))
    assert str(caught.value) == "--ids: no dialogue has the id 'd30000'"
    assert caught.value.hint is not None


@pytest.mark.parametrize("selection", [Selection(tags=("easy", "rare")), Selection(ids=("d1",), sample=3, by_tag=True)])
def test_what_is_told_is_the_same_when_it_is_read_from_a_file(selection: Selection) -> None:
    assert orjson.loads(orjson.dumps(selection.as_plain())) == selection.as_plain()
