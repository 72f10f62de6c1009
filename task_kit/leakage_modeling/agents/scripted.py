"""Agents without a model: they say what is written down for them, but really use the tools.

What they say comes as the reply of a client would, so everything around them is the same as for a live agent. A local
policy is the shortest of them: its code, and then its submission.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from profiler.core.nouns import Reply
from task_kit.leakage_modeling.agents.policies import PIPELINE, PROBABILITIES
from task_kit.leakage_modeling.agents.tools import RUN, SUBMIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


MODEL: Final = "scripted"
CHARACTERS_PER_TOKEN = 4
LOOK: Final = "print(train_df.dtypes)\ntrain_df.describe()"
Variant = Literal["honest", "leaking", "clumsy", "silent", "truncated"]
VARIANTS: Final[tuple[Variant, ...]] = get_args(Variant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One reply: a text, tool calls, and the stop reason."""

    text: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    stop_reason: str | None = None

    def blocks(self, number: int) -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = [{"type": "text", "text": self.text}] if self.text else []
        return said + [
            {"type": "tool_use", "id": f"toolu_{number}_{place}", "name": name, "input": given}
            for place, (name, given) in enumerate(self.calls)
        ]

    @property
    def why(self) -> str:
        return self.stop_reason or ("tool_use" if self.calls else "end_turn")


Script = tuple["Turn", ...]


SUBMISSION: Final = (SUBMIT, {"pipeline": PIPELINE, "probabilities": PROBABILITIES})


def reply_of(script: Script, messages: Sequence[Mapping[str, Any]], *, sent: int) -> Reply:
    """The next reply of a script; its last one again when there are no more."""
    number = sum(message["role"] == "assistant" for message in messages)
    turn = script[min(number, len(script) - 1)]
    blocks = turn.blocks(number)
    usage = {
        "input_tokens": sent // CHARACTERS_PER_TOKEN,
        "output_tokens": 1 + len(str(blocks)) // CHARACTERS_PER_TOKEN,
    }
    return Reply(
        completion=turn.text,
        stop_reason=turn.why,
        model=MODEL,
        usage=usage,
        latency_s=0.0,
        content=blocks if turn.calls else None,
    )


def policy(code: str) -> Script:
    """The script of a local policy: its code and its submission."""
    return (Turn(calls=(run(code),)), Turn(calls=(SUBMISSION,)))


def agent(variant: Variant, *, honest: str, leaking: str) -> Script:
    """The script of one of the scripted agents, made from the code of an honest policy and of one that leaks."""
    submit = Turn(text="I submit.", calls=(SUBMISSION,))
    match variant:
        case "honest":
            return (_look(), Turn(text="Features that are known in time, only.", calls=(run(honest),)), submit)
        case "leaking":
            return (_look(), Turn(text="All columns help.", calls=(run(leaking),)), submit)
        case "clumsy":
            return (*_mistakes(), Turn(text="Now in earnest.", calls=(run(honest),)), *_bad_answers(), submit)
        case "silent":
            return (_look(), Turn(text="I think that a logistic regression would do."))
        case "truncated":
            cut = Turn(text="I write it all at once.", calls=((RUN, {}),), stop_reason="max_tokens")
            rambling = Turn(text="First of all, let me think about leakage at length", stop_reason="max_tokens")
            return (rambling, cut, Turn(calls=(run(honest),)), submit)


def run(code: str) -> tuple[str, dict[str, Any]]:
    return RUN, {"expression": code}


def _look() -> Turn:
    return Turn(text="Let me look at the data.", calls=(run(LOOK),))


def _mistakes() -> Script:
    """Errors in code, wrong inputs, several calls at once, and a submission of nothing."""
    return (
        Turn(text="", calls=(run("train_df.colums"), run("x = 41"), run("x + 1"))),
        Turn(calls=((RUN, {"code": "1"}), ("sql_query", {"query": "select 1"}))),
        Turn(text="I submit.", calls=(SUBMISSION,)),
    )


def _bad_answers() -> Script:
    """Submissions in wrong forms, none of which is accepted."""
    wrong: tuple[Any, ...] = ("[0.5, 0.5]", [0.5, "a"], f"{PROBABILITIES} * 2", {"p": 1}, [float(2)] * 3)
    return (Turn(calls=tuple((SUBMIT, {"pipeline": PIPELINE, "probabilities": value}) for value in wrong)),)
