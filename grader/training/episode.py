"""What every task offers a training loop: an episode that is reset, stepped and graded, and the plain values it speaks in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

Tool = dict[str, Any]  # name, description and input_schema, as the Messages API takes them


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool that the policy calls. Whatever stands in it is answered; nothing in it can break an episode."""

    name: str
    arguments: Any
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the policy hears: the prompt, the answer to a call (`call_id`), or a word beside them."""

    text: str
    call_id: str | None = None
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The verdict of one episode. Train on it only where `reward_valid`: an error of the machine says nothing of the policy.

    `world` names the world without telling its seed: episodes of one group have the same.
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
    """One attempt at one world. Made by a task; used by one policy at a time; many of them at once."""

    @property
    def done(self) -> bool:
        """Whether no further step counts."""
        ...

    async def reset(self, seed: str | int) -> tuple[Observation, list[Tool]]:
        """Begin anew in the world of this seed. The same seed is the same world, wherever the secret is the same."""
        ...

    async def step(self, calls: Sequence[ToolCall]) -> list[Observation]:
        """Do what one reply of the policy calls for; every call is answered, in order. No call costs a step, too."""
        ...

    async def grade(self) -> Result:
        """The verdict, which ends the episode. Asked again, it is the same."""
        ...

    async def close(self) -> None:
        """Give back what the episode holds; after `grade` nothing is left to be given back."""
        ...
