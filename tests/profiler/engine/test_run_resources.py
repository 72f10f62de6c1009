"""What experiments share, and who begins when there is room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from profiler.engine.agenda import Agenda
from profiler.engine.options import Options
from profiler.engine.run_money import RunMoney
from profiler.engine.run_resources import RunResources
from profiler.manifest.settings import Experiment, RateLimits
from profiler.manifest.value_types import USUAL_CONCURRENCY


def experiment(name: str, **settings: Any) -> Experiment:
    usual = {"model": "m", "max_tokens": 1, "dataset_path": Path(name), "concurrency": 8}
    return Experiment(experiment_id=name, **{**usual, **settings})


def shared(*experiments: Experiment, dialogues: int = 10, **how: Any) -> tuple[RunResources, Agenda]:
    options = Options(output_dir="/nowhere", **{"mode": "live", **how})
    counts = {each.experiment_id: dialogues for each in experiments}
    found = RunResources(experiments, options=options, tell=print, money=RunMoney(options), dialogues=counts)
    return found, Agenda(experiments, options=options, group_of=found.providers.group_of)


async def begun(found: RunResources, agenda: Agenda, most: int = 100) -> list[str]:
    """Those that begin before one of them has called."""
    names: list[str] = []
    while len(names) < most and (turn := found._next_of(agenda)) is not None:
        found._under_way[turn.experiment.experiment_id] = found._begun(turn)
        names.append(turn.experiment.experiment_id)
    return names


async def test_without_a_number_the_largest_concurrency_holds_for_all() -> None:
    found, _ = shared(experiment("a", concurrency=3), experiment("b", concurrency=5))
    assert found.slots.limit == 5
    found, _ = shared(experiment("a", concurrency=3), experiment("b"), concurrency=2)
    assert found.slots.limit == 2


async def test_an_experiments_own_number_bounds_it_whatever_holds_for_all() -> None:
    two, usual = experiment("a", concurrency=2), experiment("b", concurrency=USUAL_CONCURRENCY)
    found, _ = shared(two, usual, concurrency=64)
    assert (found.slots_of(two).limit, found.slots_of(usual).limit) == (2, 64)
    found, _ = shared(two, usual, concurrency=1)
    assert found.slots_of(two).limit == 1
    alone, _ = shared(two, concurrency=64, mode="mock")
    assert alone.slots_of(two).limit == 64  # the option stands for the number of the only one


async def test_as_many_begin_as_places_need_and_half_as_many_again() -> None:
    found, agenda = shared(*(experiment(f"e{at}") for at in range(20)), dialogues=2, concurrency=8, mode="mock")
    assert await begun(found, agenda) == [f"e{at}" for at in range(6)]
    found, agenda = shared(*(experiment(f"e{at}") for at in range(20)), dialogues=100, concurrency=8, mode="mock")
    assert await begun(found, agenda) == ["e0", "e1"]


async def test_places_that_the_provider_does_not_have_keep_the_next_one_from_nothing() -> None:
    """A process of several is lent a part of the places that an experiment may have."""
    same = [experiment(f"e{at}") for at in range(4)]
    found, agenda = shared(*same, dialogues=100, concurrency=8)
    found.providers.of(same[0]).slots.limit = 4
    assert await begun(found, agenda) == ["e0", "e1"]


async def test_in_turn_means_one_at_a_time() -> None:
    found, agenda = shared(*(experiment(f"e{at}") for at in range(3)), dialogues=1, in_turn=True)
    assert await begun(found, agenda) == ["e0"]


async def test_a_provider_without_room_keeps_no_other_waiting() -> None:
    many = [experiment(f"x{at}", model="x") for at in range(4)]
    found, agenda = shared(*many, experiment("y", model="y"), dialogues=8, concurrency=8)
    found.providers.of(many[0]).slots.limit = 0
    assert await begun(found, agenda) == ["y"]


async def test_a_provider_that_holds_its_calls_up_counts_only_what_it_has() -> None:
    many = [experiment(f"x{at}", model="x") for at in range(4)]
    found, agenda = shared(*many, *(experiment(f"y{at}", model="y") for at in range(4)), dialogues=8, concurrency=8)
    slow = found.providers.of(many[0]).slots
    slow.limit = 8
    found.slots.taken, slow.taken = 1, 8
    assert await begun(found, agenda) == ["x0", "x1"]
    slow.lent = 7
    assert await begun(found, agenda) == ["y0", "y1"]


async def test_address_provider_client_and_model_make_a_group() -> None:
    first = experiment("a", rate_limits=RateLimits(requests_per_minute=100, output_tokens_per_minute=7))
    second = experiment("b", rate_limits=RateLimits(requests_per_minute=50, input_tokens_per_minute=9))
    others = [
        experiment("c", base_url="http://elsewhere"),
        experiment("d", model="other"),
        experiment("e", client="my:client"),
    ]
    found, _ = shared(first, second, *others)
    assert found.providers.of(first) is found.providers.of(second)
    assert len({id(found.providers.of(each)) for each in (first, *others)}) == 4
    assert found.providers.rate_limits[found.providers.group_of(first)] == RateLimits(
        requests_per_minute=50, input_tokens_per_minute=9, output_tokens_per_minute=7
    )
    assert found.providers.rate_limits[found.providers.group_of(others[0])] is None


async def test_the_mock_has_room_for_all() -> None:
    found, _ = shared(experiment("a"), experiment("b", model="other"), mode="mock")
    assert found.providers.of(experiment("a")).slots is found.slots
    assert found.providers.of(experiment("b", model="other")).limits is None
