"""Which experiment begins when, and which waits for the answers of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from profiler.engine.agenda import Agenda
from profiler.engine.options import Options
from profiler.manifest.settings import Bounds, Experiment

OPTIONS = Options(output_dir="/nowhere")


def experiment(name: str, **settings: Any) -> Experiment:
    return Experiment(experiment_id=name, **{"model": "m", "max_tokens": 1, "dataset_path": Path("d"), **settings})


def agenda(*experiments: Experiment, options: Options = OPTIONS) -> Agenda:
    return Agenda(experiments, options=options, group_of=lambda each: each.model)


def taken(found: Agenda, *models: str) -> list[str]:
    """Who begins when only these models have room."""
    names: list[str] = []
    while (turn := found.take(lambda each: not models or each.model in models)) is not None:
        names.append(turn.experiment.experiment_id)
    return names


def test_they_begin_in_the_order_of_the_manifest() -> None:
    found = agenda(*(experiment(name, max_tokens=at + 1) for at, name in enumerate("cab")))
    assert taken(found) == ["c", "a", "b"]
    assert found.empty


def test_who_waits_for_one_provider_keeps_nobody_of_another_waiting() -> None:
    found = agenda(experiment("a", model="x"), experiment("b", model="y"), experiment("c", model="x"))
    assert taken(found, "y") == ["b"]
    assert taken(found) == ["a", "c"]


def test_those_that_differ_in_their_metrics_wait_for_one_and_take_its_answers() -> None:
    first, second = experiment("a", metrics=("refusal_rate",)), experiment("b", metrics=("completion_rate",))
    third = experiment("c", metrics=("refusal_rate",), thresholds={"refusal_rate": Bounds(max=0.5)})
    found = agenda(first, second, third)
    assert taken(found) == ["a"]
    assert not found.empty
    found.ended(first, complete=True)
    turns = [found.take(lambda _: False) for _ in range(2)]
    assert [(turn.experiment, turn.answers_of) for turn in turns if turn] == [
        (second, Path("/nowhere/a")),
        (third, Path("/nowhere/a")),
    ]
    assert found.empty


def test_if_the_first_fails_the_next_is_asked_and_the_others_wait_for_it() -> None:
    every = [experiment(name, metrics=(name,)) for name in ("a", "b", "c")]
    found = agenda(*every)
    assert taken(found) == ["a"]
    found.ended(every[0], complete=False)
    assert taken(found) == ["b"]
    found.ended(every[1], complete=True)
    assert taken(found) == ["c"]
    assert found.empty


def test_two_that_do_not_differ_are_both_asked() -> None:
    found = agenda(experiment("a"), experiment("b"))
    assert taken(found) == ["a", "b"]


def test_another_question_source_or_limit_is_asked_for_itself() -> None:
    settings: list[dict[str, Any]] = [
        {"system": "s"},
        {"base_url": "http://other"},
        {"max_tokens": 2},
        {"dataset_path": Path("e")},
    ]
    every = [experiment(f"e{at}", metrics=(f"m{at}",), **more) for at, more in enumerate(settings)]
    assert len(taken(agenda(experiment("a"), *every))) == 1 + len(settings)
