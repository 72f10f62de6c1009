"""Plays an episode with a model: its replies become calls, and the answers of the tools become its next message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from grader.training.episode import Result, ToolCall
from profiler.engine.calls.asker import Asker
from profiler.manifest.settings import Retry
from task_kit.leakage_modeling.agents.loop import Episode as Conversation
from task_kit.leakage_modeling.agents.tools import Result as Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grader.training.episode import Episode, Tool
    from profiler.provider.client import Client
    from task_kit.leakage_modeling.agents.content import Call
    from task_kit.leakage_modeling.agents.loop import Rules
    from task_kit.leakage_modeling.agents.transcript import Step

TIMEOUT_S = 600.0
CLOSING_S = 60.0


async def play_client(client: Client, episode: Episode, *, task: str, seed: str | int, rules: Rules) -> Result:
    """Play from the prompt to the verdict. If the provider does not answer, the result is an error and not a fail."""
    try:
        first, tools = await episode.reset(seed)
        asker = Asker(client=client, concurrency=1, timeout_s=TIMEOUT_S, retry=Retry())
        conversation = Conversation(
            name=f"{task}/{seed}",
            rules=rules,
            prompt=first.text,
            tools=_Hands(episode, tools),
            transcript=_Unwritten(),
        )
        ending = await conversation.play(asker)
        if ending.how in ("submitted", "no_submission"):
            return await episode.grade()
        failed = ending.how != "provider"
        return Result(
            task=task,
            status="fail" if failed else "error",
            reward=0.0,
            reward_valid=failed,
            reasons=(ending.how,),
            sentence=ending.said,
            steps=ending.steps,
        )
    finally:
        with anyio.move_on_after(CLOSING_S, shield=True):
            await episode.close()


class _Hands:
    """The tools of an episode, in the form that a conversation uses."""

    def __init__(self, episode: Episode, tools: list[Tool]) -> None:
        self.offered: list[dict[str, Any]] = tools
        self._episode = episode

    @property
    def done(self) -> bool:
        return self._episode.done

    async def step(self, calls: Sequence[Call], *, cut_off: Call | None, most_bytes: int, told: str) -> list[Answer]:
        whole = [call for call in calls if call is not cut_off]
        said = await self._episode.step(
            [ToolCall(name=call.asked_for, arguments=call.given, id=call.id) for call in whole]
        )
        answers = {one.call_id: Answer(text=one.text, is_error=one.is_error) for one in said}
        refused = Answer(text=told, is_error=True)
        return [refused if call is cut_off else answers.get(call.id, refused) for call in calls]


class _Unwritten:
    """A transcript that is not kept."""

    def __init__(self) -> None:
        self._steps = 0

    def next_id(self) -> int:
        self._steps += 1
        return self._steps

    def add(self, step: Step) -> None:
        """Keeping the steps is up to the training loop."""
