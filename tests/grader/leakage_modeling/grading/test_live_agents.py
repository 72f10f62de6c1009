"""Whole episodes through the live client: a real server on loopback, the engine's limits and retries, real workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from grader.leakage_modeling.grading.folder import RunFolder
from grader.leakage_modeling.grading.regrade import regrade
from grader.leakage_modeling.grading.runs import Plan, Report, play_all, seed_of
from task_kit.leakage_modeling.agents.policies import CAREFUL, LEAKS
from task_kit.leakage_modeling.agents.scripted import agent
from task_kit.leakage_modeling.agents.transcript import read
from task_kit.leakage_modeling.worlds.settings import Settings
from task_kit.leakage_modeling.worlds.world import make_world
from tests.nurseries import shared_nursery
from tests.task_kit.leakage_modeling.agents.agent_server import KEY, Provider, provider

if TYPE_CHECKING:
    from pathlib import Path

    from task_kit.leakage_modeling.agents.scripted import Script, Variant

SEED = "live"


def scripts(*variants: Variant) -> dict[str, Script]:
    """At difficulty 0 the columns are called the same in every world."""
    world = make_world(seed_of(SEED, 0), Settings(difficulty=0))
    honest, leaking = CAREFUL.code(world), LEAKS[-1].code(world)
    return {variant: agent(variant, honest=honest, leaking=leaking) for variant in variants}


async def played(
    output: Path, server: Provider, *, runs: int, key: str = KEY, max_cost_usd: float | None = None
) -> Report:
    settings = Settings(difficulty=0, num_runs=runs, concurrency=5, max_steps=8)
    return await play_all(
        Plan(mode="agent", settings=settings, live=True, seed=SEED, max_cost_usd=max_cost_usd),
        nursery=shared_nursery(),
        isolation="here",
        output=output,
        environ={"ANTHROPIC_API_KEY": key, "ANTHROPIC_BASE_URL": server.url},
        tell=lambda result: None,
    )


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_agents_of_every_kind_play_over_the_wire_and_the_key_is_in_no_file(tmp_path: Path) -> None:
    """A clumsy agent makes every mistake and then does what an honest one does."""
    with provider(scripts("leaking", "clumsy", "silent", "truncated"), faults=[529, 500, 200, 529]) as server:
        report = await played(tmp_path / "r", server, runs=4)

    assert server.complaints == []
    assert [result.status for result in report.results].count("pass") == 2  # clumsy, truncated
    assert sorted(result.reason or "" for result in report.results) == ["", "", "no_submission", "score"]
    steps = sum(result.steps for result in report.results)
    assert server.requests == steps + 3  # every failed call was made once more, and no other
    assert all(result.cost_usd for result in report.results)
    assert (report.run.live, report.run.model) == (True, "claude-haiku-4-5")
    assert all(one.differs is None for one in regrade(RunFolder(report.folder)))
    step = read(RunFolder(report.folder).episode("0000-agent") / "transcript.jsonl").steps[1]
    assert step.timestamp is not None
    assert step.metrics is not None
    assert step.metrics.extra["request_id"].startswith("req_")
    files = files_below(tmp_path)
    assert len(files) >= 4 * 3 + 2
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


async def test_a_provider_that_is_down_is_nobodys_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.engine.calls.attempt.FIRST_WAIT_S", 0.001)
    with provider(scripts("honest"), faults=[500] * 100) as server:
        report = await played(tmp_path / "r", server, runs=2)

    assert [(result.status, result.reason, result.reward_valid) for result in report.results] == [
        ("error", "provider", False)
    ] * 2
    assert server.requests == 8  # four tries each


async def test_a_refused_key_stops_the_run_at_once(tmp_path: Path) -> None:
    with provider(scripts("honest")) as server:
        report = await played(tmp_path / "r", server, runs=30, key="sk-ant-wrong")

    assert report.stopped is not None
    assert report.stopped.exit_code == 3
    assert server.requests <= 5
    assert report.results == ()


async def test_the_cap_holds(tmp_path: Path) -> None:
    with provider(scripts("silent")) as server:
        report = await played(tmp_path / "r", server, runs=5, max_cost_usd=0.02)

    assert report.stopped is not None
    assert report.stopped.exit_code == 4
    assert 0 < server.requests < 40
    folder = RunFolder(report.folder)
    left = [result for result in map(folder.result, folder.names()) if result.reason == "unfinished"]
    assert left
    assert {result.cost_usd for result in left} == {None}
