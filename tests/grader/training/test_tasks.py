"""`grader.tasks`: what a training loop calls, with policies of its own, clients, groups and many episodes at once."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from grader import tasks
from grader.experiment_profiler.grading.grade import grade, reference
from grader.leakage_modeling.judging.verdict import Check, Verdict
from grader.tasks import Observation, Result, ToolCall
from grader.training.modelling import shaped
from profiler.core.errors import CallError, UsageError
from profiler.core.nouns import Reply
from task_kit.leakage_modeling.agents.policies import CAREFUL
from task_kit.leakage_modeling.worlds.settings import Settings
from task_kit.sandbox import SandboxError
from tests.nurseries import Borrowed, borrowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grader.tasks import Policy, Task, Tool
    from profiler.core.nouns import Request

DOCUMENT = Path("docs/training.md")
SUBMIT = ToolCall(name="submit_answer", arguments={"pipeline": "pipeline", "probabilities": "test_proba"}, id="s")


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """One warm process for all, and submissions are graded in the sample alone: other tests grade in drawn worlds."""
    monkeypatch.setattr("grader.training.modelling.open_nursery", borrowed)
    monkeypatch.setattr("grader.training.profiling.grade", partial(grade, worlds=0))


def modelling(**settings: Any) -> Task:
    return tasks.load("leakage_modeling", **{"difficulty": 1, "hidden_rows": 1000} | settings)


def run(code: str) -> ToolCall:
    return ToolCall(name="python_expression", arguments={"expression": code}, id="r")


def careful() -> Policy:
    """Reads the prompt, models, submits."""
    turns: list[int] = []

    async def policy(said: Sequence[Observation], tools: Sequence[Tool]) -> Sequence[ToolCall]:
        turns.append(len(said))
        return [run(CAREFUL.written(said[0].text))] if len(turns) == 1 else [SUBMIT]

    return policy


def silent() -> Policy:
    async def policy(said: Sequence[Observation], tools: Sequence[Tool]) -> Sequence[ToolCall]:
        return []

    return policy


async def test_a_careful_policy_passes_and_a_silent_one_fails_side_by_side() -> None:
    found: dict[str, list[Result]] = {}

    async with modelling() as task:

        async def group(name: str, policy: Any, size: int) -> None:
            found[name] = await task.group(policy, seed=3, size=size)

        async with anyio.create_task_group() as groups:
            groups.start_soon(group, "careful", careful, 1)
            groups.start_soon(group, "silent", silent, 2)

    assert [(one.status, one.reward, one.reasons) for one in found["careful"]] == [("pass", 1.0, ())]
    assert [(one.status, one.reasons, one.steps) for one in found["silent"]] == [("fail", ("no_submission",), 20)] * 2
    assert len({one.world for group in found.values() for one in group}) == 1
    assert found["careful"][0].metrics["regret"] < 0.115


async def test_an_episode_is_held_step_by_step() -> None:
    async with modelling() as task:
        episode = task.episode()
        first, tools = await episode.reset("named")
        answered = await episode.step([run("x = 20"), run("x + 22"), ToolCall(name="bash", arguments="ls", id="b")])
        nudged = await episode.step([])
        accepted = await episode.step(
            [
                run(
                    "from sklearn.dummy import DummyClassifier\npipeline = DummyClassifier()\n"
                    "pipeline.fit(train_df, train_df.target)\ntest_proba = pipeline.predict_proba(test_df)[:, 1]"
                ),
                SUBMIT,
            ]
        )
        over = await episode.step([run("1")])
        result = await episode.grade()
        again = await episode.grade()

    assert "The prediction is made" in first.text
    assert [tool["name"] for tool in tools] == ["python_expression", "submit_answer"]
    assert [(one.text, one.call_id, one.is_error) for one in answered[:2]] == [
        ("(no output)", "r", False),
        ("42", "r", False),
    ]
    assert answered[2].is_error
    assert "No tool was called" in nudged[0].text
    assert accepted[-1].text.startswith("Accepted")
    assert over[0].is_error
    assert (result.status, result.reasons[0], result.steps) == ("fail", "score", 3)
    assert again == result


async def test_a_seed_is_a_world_and_a_secret_makes_it_another(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("one that machines share")
    prompts = []
    for options in ({}, {}, {"seed_secret": tmp_path / "secret"}):
        async with modelling(**options) as task:
            for seed in (1, 2):
                episode = task.episode()
                prompts.append((await episode.reset(seed))[0].text)
                await episode.close()

    assert prompts[:2] == prompts[2:4]
    assert len(set(prompts)) == 4


async def test_a_fault_of_the_machine_is_an_error_that_no_loop_learns_from(monkeypatch: pytest.MonkeyPatch) -> None:
    async with modelling() as task:
        episode = task.episode()
        await episode.reset(1)
        await episode.step(
            [run("from sklearn.dummy import DummyClassifier\npipeline = DummyClassifier(); p = [0.5] * 200")]
        )
        await episode.step([ToolCall(name="submit_answer", arguments={"pipeline": "pipeline", "probabilities": "p"})])
        broken = SandboxError("no room")

        def spawn(*_: object, **__: object) -> None:
            raise broken

        monkeypatch.setattr(Borrowed, "spawn", spawn)
        result = await episode.grade()

    assert (result.status, result.reward_valid, result.reasons) == ("error", False, ("sandbox",))


@pytest.mark.parametrize(
    ("failed", "regret", "reward"),
    [
        ((), 0.05, 1.0),
        (("score",), 0.115, 0.5),
        (("score", "calibration"), 0.55750, 0.25),
        (("score",), 1.4, 0.0),
        (("score", "uses_forbidden:calls"), 0.115, 0.0),
        (("uses_forbidden:calls",), 0.05, 0.0),
        (("batch_dependence",), 0.05, 0.0),
        (("proba_mismatch",), 0.05, 0.0),
        (("pipeline_contract",), None, 0.0),
    ],
)
def test_a_shaped_reward_is_for_who_fails_by_the_score_alone(
    failed: tuple[str, ...], regret: float | None, reward: float
) -> None:
    checks = tuple(Check(name=name, passed=False, detail="") for name in failed)
    verdict = Verdict(
        status="fail" if failed else "pass",
        reason=failed[0] if failed else None,
        sentence="",
        checks=checks,
        scores={} if regret is None else {"regret": regret},
    )

    assert shaped(verdict, Settings(difficulty=1)) == pytest.approx(reward, abs=1e-4)


class Client:
    """Says one reply after the other."""

    describes = "a client of a test"

    def __init__(self, *said: Reply | CallError) -> None:
        self.said = list(said)

    async def complete(self, request: Request) -> Reply:
        said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if isinstance(said, CallError):
            raise said
        return said


def reply(name: str, given: object, *, stop_reason: str = "tool_use") -> Reply:
    block = {"type": "tool_use", "id": f"t-{name}", "name": name, "input": given}
    return Reply(completion="", stop_reason=stop_reason, model="m", usage={"input_tokens": 5}, content=[block])


async def test_a_client_of_the_engine_plays_and_what_it_brings_about_is_its_own_failure() -> None:
    code = "from sklearn.dummy import DummyClassifier\npipeline = DummyClassifier(); p = np.full(200, train_df.target.mean())"
    whole = Client(
        reply("python_expression", {"expression": "1"}, stop_reason="max_tokens"),
        reply("python_expression", {"expression": code}),
        reply("submit_answer", {"pipeline": "pipeline", "probabilities": "p"}),
    )
    refused = CallError("invalid_request", "prompt is too long", status=400)
    async with modelling() as task:
        played = await task.play_client(whole, seed=1, model="m")
        full = await task.play_client(Client(reply("python_expression", {}), refused), seed=1, model="m")
        down = await task.play_client(Client(refused), seed=1, model="m")

    assert (played.status, played.reasons[0], played.steps) == ("fail", "score", 3)
    assert (full.status, full.reasons, full.reward_valid) == ("fail", ("context_full",), True)
    assert (down.status, down.reasons, down.reward_valid) == ("error", ("provider",), False)


async def test_the_profiler_task_is_played_with_files_and_commands() -> None:
    files = {path.relative_to(reference()).as_posix(): path.read_text() for path in reference().rglob("*.py")}
    async with tasks.load("experiment_profiler") as task:
        episode = task.episode()
        first, tools = await episode.reset(5)
        looked = await episode.step(
            [
                ToolCall(name="read_file", arguments={"path": "README.md"}),
                ToolCall(name="run_command", arguments={"command": "ls; pwd; false"}),
                ToolCall(name="read_file", arguments={"path": "/etc/passwd"}),
                ToolCall(name="write_file", arguments={"path": "../out", "content": ""}),
                ToolCall(name="run_command", arguments={"command": 3}),
            ]
        )
        await episode.step(
            [ToolCall(name="write_file", arguments={"path": path, "content": text}) for path, text in files.items()]
        )
        run_ = "python -m experiment_profiler.cli run --config configs/sample_experiment.yaml --output-dir runs"
        ran = await episode.step([ToolCall(name="run_command", arguments={"command": run_})])
        await episode.step([ToolCall(name="submit_answer", arguments={})])
        result = await episode.grade()

    assert [tool["name"] for tool in tools] == ["read_file", "write_file", "run_command", "submit_answer"]
    assert first.text
    assert [one.is_error for one in looked] == [False, True, True, True, True]
    assert "experiment_profiler" in looked[1].text
    assert "exit code 1" in looked[1].text
    assert "Completed experiment" in ran[0].text
    assert (result.status, result.reward, result.reasons) == ("pass", 1.0, ())


async def test_what_was_only_staged_fails_and_a_link_out_of_the_folder_is_not_followed() -> None:
    async with tasks.load("experiment_profiler", shaped=True) as task:
        episode = task.episode()
        await episode.reset(5)
        said = await episode.step(
            [
                ToolCall(name="run_command", arguments={"command": "ln -s /etc/hostname link; ln -s / root"}),
                ToolCall(name="read_file", arguments={"path": "link"}),
                ToolCall(name="write_file", arguments={"path": "root/tmp/x", "content": "x"}),
            ]
        )
        result = await episode.grade()

    assert [one.is_error for one in said] == [False, True, True]
    assert result.status == "fail"
    assert result.reward < 1


def test_what_is_no_task_or_no_setting_is_said() -> None:
    with pytest.raises(UsageError, match="found no task 'modelling'"):
        tasks.load("modelling")
    with pytest.raises(Exception, match="difficulty"):
        tasks.load("leakage_modeling", difficulty=9)


BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


async def test_the_document_for_trainers_runs_as_it_stands() -> None:
    """Its pieces of code, one after the other in one module, with groups of one."""
    assert len(BLOCKS) == 3
    variables: dict[str, Any] = {"__name__": "trainer"}
    for block in BLOCKS:
        exec(compile(block.replace("size=8", "size=1"), str(DOCUMENT), "exec"), variables)

    results = await variables["main"]()

    assert all(isinstance(result, Result) for result in results)
    assert [result.status for result in results] == ["pass"] * 2
