"""The spending cap: the worst case of every call is set aside before it is made, and settled with its price after.

Comes in: requests before they are sent, the usage of their replies, the errors of their failures. Goes out: a hold,
or None when the cap might be passed. What was spent, what may have been and what is set aside never exceed the cap
together. Sums are whole pico-dollars. Knows nothing of tasks, files or why a call is made again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from profiler.core.errors import BudgetReached
from profiler.money.prices import Ceiling, cost, dollars, pico

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from profiler.core.errors import CallError
    from profiler.core.nouns import Request
    from profiler.money.prices import RateCard

IMAGE_TOKENS = 8_000  # above what any documented model makes of its largest image (4,784)
LARGEST_WINDOW = 1_000_000  # the longest prompt that any known model takes
REPLY_FRAME = 64  # bytes of JSON around a turn and its reply
GATEWAYS = frozenset({408, 502, 504, *range(520, 525)})  # said by what stands in between, of a request that may live on


class Budget:
    """One run's money. Without a cap it only keeps count."""

    def __init__(self, card: RateCard, *, cap_usd: float | None = None, spent: int = 0, maybe: int = 0) -> None:
        self.card = card
        self.cap = None if cap_usd is None else pico(cap_usd)
        self.spent = spent
        self.maybe = maybe
        self.reserved = 0
        self.wanted = 0  # a cap with which the call that was refused could have been made
        self._ceiling = Ceiling(card)
        self._freed: anyio.Event | None = None  # made by who waits: an event for every call costs more than the sums

    @property
    def committed(self) -> int:
        return self.spent + self.maybe + self.reserved

    @property
    def room(self) -> int | None:
        """What may still be set aside; None without a cap."""
        return None if self.cap is None else self.cap - self.committed

    def reserve(self, request: Request) -> int | None:
        """Set the worst case of one call aside. None: not now, or never when nothing else is set aside."""
        hold = self.worst(request)
        if self.cap is not None and self.committed + hold > self.cap:
            return None
        self.reserved += hold
        return hold

    def settle(self, hold: int, usage: Mapping[str, Any]) -> int | None:
        """The price of a reply, in place of its hold. A price that is not known leaves the worst case standing."""
        real = cost(self.card, usage)
        if real is None:
            self.keep(hold)
        else:
            self.release(hold)
            self.spent += real
        return real

    def fail(self, hold: int, error: CallError) -> bool:
        """Whether a failed call may have been billed; if so, its hold counts as spent."""
        if maybe_billed(error):
            self.keep(hold)
            return True
        self.release(hold)
        return False

    def keep(self, hold: int) -> None:
        """Nobody knows whether this call was billed, so it counts as if it had been."""
        self.release(hold)
        self.maybe += hold

    def close(self) -> None:
        """The run ends: calls that were cut off may have been billed."""
        self.maybe += self.reserved
        self.reserved = 0

    async def freed(self) -> None:
        """Until the next hold is settled."""
        if self._freed is None:
            self._freed = anyio.Event()
        await self._freed.wait()

    def worst(self, request: Request) -> int:
        return self._ceiling.most(
            prompt=prompt_bound(request, window=self.card.context_window),
            output=request.params.max_tokens,
            cached=b'"cache_control"' in request.body,
        )

    def reached(self, request: Request) -> BudgetReached:
        """Why nothing more is asked, in words."""
        self.wanted = self.committed + self.worst(request)
        return BudgetReached(
            f"the cap of {usd(self.cap or 0)} could be passed: {usd(self.spent)} spent, "
            f"{usd(self.maybe)} that may have been billed, and the next call may cost up to {usd(self.worst(request))}"
        )

    def release(self, hold: int) -> None:
        """This call was never made, or is known not to have been billed."""
        self.reserved -= hold
        if self._freed is not None:
            self._freed.set()
            self._freed = None


def usd(amount: int) -> str:
    """For people: cents for sums, and as many places as small ones need."""
    value = dollars(amount)
    return f"${value:,.2f}" if value >= 1 or not value else f"${value:.2g}" if value < 0.0001 else f"${value:.4f}"


def maybe_billed(error: CallError) -> bool:
    """An error status from the API proves that nothing was billed, and so does a request that never left. Silence, a
    broken reply or a gateway proves nothing."""
    return error.sent and (error.status is None or error.status < 400 or error.status in GATEWAYS)


def prompt_bound(request: Request, *, window: int | None = None) -> int:
    """At least the tokens of a request: a token stands for one byte of text or more, and the JSON around a message is
    longer than what the model reads around it. Images count by number, documents as the whole context window."""
    size = len(request.body)
    if request.dialogue.messages is None:
        return size
    contents = (message.content for message in request.dialogue.messages)
    blocks = (block for content in contents if not isinstance(content, str) for block in content)
    return size + _media(blocks, window=window or LARGEST_WINDOW)


def _media(blocks: Iterable[Any], *, window: int) -> int:
    """What blocks add to the bytes of the body, or take from them: the bytes of an image are not read as text."""
    extra = 0
    for block in blocks:
        kind, source = block.get("type"), block.get("source")
        source = source if isinstance(source, dict) else {}
        if kind == "image":
            data = source.get("data")
            extra += IMAGE_TOKENS - (len(data) if isinstance(data, str) else 0)
        elif kind == "tool_result" and isinstance(block.get("content"), list):
            extra += _media(block["content"], window=window)
        elif kind != "text" and source.get("type") != "text" and kind not in ("tool_use", "tool_result", "thinking"):
            extra += window
    return extra


def dialogue_most(ceiling: Ceiling, request: Request, *, window: int | None = None, attempts: int = 1) -> int:
    """The most that all turns of a dialogue can cost, given its first request."""
    output, cached = request.params.max_tokens, b'"cache_control"' in request.body
    prompt = prompt_bound(request, window=window)
    total = ceiling.most(prompt=prompt, output=output, cached=cached)
    for text in (request.dialogue.turns or ())[1:]:
        prompt += output + len(text.encode()) + REPLY_FRAME
        total += ceiling.most(prompt=prompt, output=output, cached=cached)
    return total * attempts
