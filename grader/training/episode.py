"""What every task offers to a training loop: an episode to reset, step and grade, and the plain values that it uses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

Tool = dict[str, Any]  # name, description and input_schema, as the Messages API takes them


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool call of the policy. Every call is answered, and none can break an episode, whatever it contains."""

    name: str
    arguments: Any
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the policy gets to see: the prompt, the answer to a call (`call_id`), or a remark beside them."""

    text: str
    call_id: str | None = None
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The verdict of one episode. Train on it only where `reward_valid`.

    An error of the machine says nothing about the policy. `world` identifies the world without revealing its seed: it
    is the same for the episodes of one group.
    """

    task: str
    status: Literal["pass", "fail", "error"]
    reward: float
    reward_valid: bool
    reasons: tuple[str, ...]
    sentence: str
    metrics: dict[str, Any] = field(default_factory=dict)
    steps: int = 0
    world: str = ""


class Episode(Protocol):
    """One attempt at one world. A task makes it, and one policy at a time uses it; many may be under way at once."""

    @property
    def done(self) -> bool:
        """Whether no further step counts."""
        ...

    async def reset(self, seed: str | int) -> tuple[Observation, list[Tool]]:
        """Begin anew in the world of this seed. Where the secret is the same, the same seed gives the same world."""
        ...

    async def step(self, calls: Sequence[ToolCall]) -> list[Observation]:
        """Do what one reply of the policy asks for. Every call is answered, in order.

        A reply without calls is a step too.
        """
        ...

    async def grade(self) -> Result:
        """The verdict, which ends the episode. Asked again, it is the same."""
        ...

    async def close(self) -> None:
        """Release what the episode holds. After `grade` there is nothing left to release."""
        ...
