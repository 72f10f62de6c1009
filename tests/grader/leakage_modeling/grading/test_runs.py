"""`runs`: whole episodes with scripted agents and local policies, in real boxes; `regrade`; and the commands around them."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import redirect_stdout
from io import BytesIO, TextIOWrapper
from typing import TYPE_CHECKING

import msgspec
import pytest

from grader.cli.main import main
from grader.cli.run_table import notes
from grader.leakage_modeling.grading import runs
from grader.leakage_modeling.grading.folder import RunFolder, RunFolderError
from grader.leakage_modeling.grading.regrade import regrade
from grader.leakage_modeling.grading.runs import Plan, Report, seed_of
from task_kit.leakage_modeling.agents.transcript import read
from task_kit.leakage_modeling.worlds.settings import Settings
from tests.grader.leakage_modeling.grading.playing import QUICK, WORDS, played
from tests.nurseries import borrowed
from tests.once import made_once

if TYPE_CHECKING:
    from pathlib import Path

    from grader.leakage_modeling.grading.folder import EpisodeResult
    from profiler.core.nouns import Reply, Request


def by_agent(report: Report) -> dict[str, EpisodeResult]:
    return {result.agent: result for result in report.results}


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all scripted agents, one world each, as the command makes it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return made_once(tmp_path_factory, "scripted_agents", of_all_agents, worker=worker) / "run"


def of_all_agents(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("grader.cli.run_actions.open_nursery", borrowed)
        words = [
            *WORDS,
            "--runs",
            "5",
            "--seed",
            "s",
            "--family",
            "held-out",
            "--output",
            str(folder / "run"),
            "--json",
        ]
        with redirect_stdout(TextIOWrapper(BytesIO())) as told:
            assert main(["run", "leakage_modeling", *words]) == 0
            told.flush()
    (folder / "told.json").write_bytes(told.buffer.getvalue())


@pytest.fixture
def results(agents: Path) -> dict[str, EpisodeResult]:
    folder = RunFolder(agents)
    return {result.agent: result for result in map(folder.result, folder.names())}


def test_every_scripted_agent_gets_the_verdict_it_deserves(results: dict[str, EpisodeResult]) -> None:
    found = {agent: (result.status, result.reason) for agent, result in results.items()}

    assert found == {
        "honest": ("pass", None),
        "leaking": ("fail", "score"),
        "clumsy": ("pass", None),
        "silent": ("fail", "no_submission"),
        "truncated": ("pass", None),
    }
    assert max(results["leaking"].scores["movement"].values()) >= 1e-2
    assert results["silent"].steps == 20


def test_a_clumsy_agent_is_answered_at_every_step(agents: Path, results: dict[str, EpisodeResult]) -> None:
    story = read(RunFolder(agents).episode(results["clumsy"].episode) / "transcript.jsonl")

    calls = [call.tool_call_id for step in story.steps for call in step.tool_calls]
    answers = [one for step in story.steps if step.observation for one in step.observation.results]
    assert calls == [one.source_call_id for one in answers]
    assert sum("Not accepted" in one.content for one in answers) == 6
    assert story.result is not None
    assert story.result["status"] == "pass"


def test_a_stored_run_is_regraded_to_the_bit(agents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["regrade", str(agents)]) == 0

    assert "the same: 5 of 5 episodes" in capsys.readouterr().out


def test_a_result_or_a_number_that_was_changed_is_found(
    agents: Path, results: dict[str, EpisodeResult], tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(agents, tmp_path / "run"))
    home = run.episode(results["honest"].episode)
    result, artefacts = (home / "result.json").read_bytes(), (home / "artefacts.bin").read_bytes()
    changed = bytearray(artefacts)
    changed[-3] ^= 1
    for name, content in (
        ("result.json", result.replace(b'"status": "pass"', b'"status": "fail"')),
        ("artefacts.bin", bytes(changed)),
        ("artefacts.bin", artefacts[:-8]),
    ):
        original = (home / name).read_bytes()
        (home / name).write_bytes(content)
        different = [one.stored.agent for one in regrade(run) if one.differs is not None]
        (home / name).write_bytes(original)
        assert different == ["honest"]


def test_an_episode_is_told_step_by_step(agents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show-episode", str(agents), "0004"]) == 0

    told = capsys.readouterr().out
    assert told.startswith("MODE: MOCK")
    assert "cut off at 1000 tokens" in told
    assert "PASS: regret" in told
    assert "  ok    batch_dependence" in told


def test_an_episode_comes_as_one_document_of_atif(agents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show-episode", str(agents), "0000-honest", "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["schema_version"], found["agent"]["model_name"]) == ("ATIF-v1.4", "scripted")
    assert [step["step_id"] for step in found["steps"]] == list(range(1, len(found["steps"]) + 1))
    assert found["extra"]["result"]["reward"] == 1.0


def test_an_episode_that_is_not_there_is_an_error_with_names(agents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show-episode", str(agents), "0009"]) == 2

    assert "there are 0000-honest" in capsys.readouterr().err


def test_only_its_owner_may_read_the_folder_of_a_run(agents: Path) -> None:
    assert agents.stat().st_mode & 0o077 == 0


@pytest.mark.long
async def test_local_policies_play_in_the_same_worlds(tmp_path: Path) -> None:
    report = await played(
        tmp_path / "r", Plan(mode="local", settings=Settings(difficulty=0, num_runs=1, concurrency=6), seed="local")
    )

    found = by_agent(report)
    assert len({result.seed for result in report.results}) == 1
    assert found["oracle"].status == "pass"
    assert found["careful"].status == "pass"
    assert found["no_op"].reason == "score"
    assert found["uses_category_rate"].reason == "uses_forbidden:leak_cat0_rate_full"
    assert {name: one.status for name, one in found.items() if name.startswith("uses_")} == dict.fromkeys(
        (name for name in found if name.startswith("uses_")), "fail"
    )
    assert all(one.differs is None for one in regrade(RunFolder(report.folder)))


async def test_an_oracle_calls_no_tool_and_its_verdict_can_be_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await played(tmp_path / "r", Plan(mode="local", settings=QUICK, only=frozenset({"oracle"})))

    assert main(["show-episode", str(tmp_path / "r"), "0000-oracle"]) == 0
    assert "PASS: regret 0.000" in capsys.readouterr().out
    assert main(["show-episode", str(tmp_path / "r"), "0000-oracle", "--json"]) == 2


def test_nobody_who_knows_one_seed_knows_another() -> None:
    seeds = {seed_of(sealed, index) for sealed in ("a", "b") for index in range(50)}

    assert len(seeds) == 100
    assert min(seeds) > 2**64


async def test_a_folder_that_holds_something_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")

    with pytest.raises(RunFolderError, match="found files"):
        await played(tmp_path, Plan(mode="agent", settings=QUICK))


async def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("mine")

    with pytest.raises(RunFolderError, match="Not a directory"):
        await played(tmp_path / "r", Plan(mode="agent", settings=QUICK))


@pytest.mark.parametrize("dollars", ["0", "-1", "nan", "inf", "much"])
def test_a_cap_is_an_amount_of_money(dollars: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["run", "leakage_modeling", "--max-cost", dollars])

    assert stopped.value.code == 2
    assert f"found '{dollars}', expected dollars above 0" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--runs", "3"], ["--difficulty", "0"], ["--scripted"], ["--seed", "t"]])
def test_a_run_is_gone_on_with_by_its_own_settings(
    agents: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "leakage_modeling", "--resume", str(agents), *option]) == 2

    assert f"found {option[0]} beside it" in capsys.readouterr().err


def test_a_live_run_is_not_gone_on_with_by_scripts(
    agents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    run = msgspec.structs.replace(RunFolder(agents).run(), live=True)
    RunFolder(tmp_path / "r").begin(run)

    assert main(["run", "leakage_modeling", "--resume", str(tmp_path / "r")]) == 2
    assert "found no ANTHROPIC_API_KEY" in capsys.readouterr().err


async def test_a_bug_in_the_grader_is_an_error_and_blames_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("mine")

    monkeypatch.setattr("grader.leakage_modeling.grading.episodes.evaluate", broken)
    plan = Plan(mode="agent", settings=QUICK, variants=("honest",))

    [result] = (await played(tmp_path / "r", plan)).results

    assert (result.status, result.reason, result.reward_valid) == ("error", "grader", False)
    assert "mine" in result.sentence
    assert result.steps == 3  # it was played to its end before the bug struck
    assert result.output_tokens > 0
    run = RunFolder(tmp_path / "r").run()
    assert any("mine" in note for note in notes(run, [result]))


async def test_an_episode_says_error_until_its_verdict_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nosy(runs.Scripts):
        async def complete(self, request: Request) -> Reply:
            seen.append(RunFolder(tmp_path / "r").result(request.dialogue.dialogue_id))
            return await super().complete(request)

    seen: list[EpisodeResult] = []
    monkeypatch.setattr(runs, "Scripts", Nosy)

    await played(tmp_path / "r", Plan(mode="agent", settings=QUICK, variants=("silent",)))

    assert len(seen) == QUICK.max_steps
    assert {(result.status, result.reason, result.reward_valid) for result in seen} == {("error", "unfinished", False)}


def test_the_command_says_everything_as_json(agents: Path) -> None:
    found = json.loads((agents.parent / "told.json").read_bytes())

    assert (found["mode"], found["live"], found["model"]) == ("agent", False, "scripted")
    assert found["counts"] == {"asked": 5, "played": 5, "graded": 5, "excluded": 0, "passed": 3}
    assert (found["settings"]["difficulty"], found["settings"]["family"]) == (0, "held-out")
    assert [episode["agent"] for episode in found["episodes"]] == ["honest", "leaking", "clumsy", "silent", "truncated"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--runs", "0"], "--runs: found 0: Expected `int` >= 1"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--family", "goldfish"], "--family: found 'goldfish'"),
        (["--seed", "s", "--seed-secret", "nowhere"], "--seed-secret: cannot read nowhere"),
    ],
)
def test_wrong_settings_are_told_before_anything_starts(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "leakage_modeling", *words]) == 2

    assert said in capsys.readouterr().err
