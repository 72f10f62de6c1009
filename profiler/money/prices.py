"""What a reply cost: the prices of one model and the arithmetic over the usage of a reply.

Amounts are whole pico-dollars; None means that the price is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

PICO = 10**12
PER_MILLION = 10**6  # dollars per million tokens → pico-dollars per token, exact for six decimals

# Inference that is kept in the United States costs a tenth more. genai-prices does not know that. A workspace may be
# set to it, so the request need not say it; the usage of the reply does (`inference_geo`).
RESIDENT = {"us": (11, 10)}
USUAL_SEARCH = PICO // 100  # of the price list, for models whose card does not tell
ANYWHERE = frozenset({"", "global", "not_available"})


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Pico-dollars a token; None where this kind of token has no known price."""

    input: int
    output: int
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    cache_read: int | None = None


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """The rates for all tokens of a request whose prompt has more tokens than `above`."""

    above: int
    rates: Rates


class Tariff(msgspec.Struct, frozen=True, kw_only=True):
    """The rates of one way to be served. Tiers stand in rising order, and the last one that applies counts."""

    base: Rates
    tiers: tuple[Tier, ...] = ()

    def rates(self, prompt: int) -> Rates:
        rates = self.base
        for tier in self.tiers:
            if prompt > tier.above:
                rates = tier.rates
        return rates


class RateCard(msgspec.Struct, frozen=True, kw_only=True):
    """The prices of one model on one day. `batch` and `fast` are None where their prices are not known.

    `any_tier` means that `standard` holds however the request is served.
    """

    model: str
    priced_as: str
    source: str
    day: str | None
    standard: Tariff
    batch: Tariff | None = None
    fast: Tariff | None = None
    any_tier: bool = False
    context_window: int | None = None
    web_search: int | None = None

    def tariff(self, service_tier: object, speed: object) -> Tariff | None:
        if self.any_tier:
            return self.standard
        match service_tier, speed:
            case (None | "standard", None | "standard"):
                return self.standard
            case ("batch", None | "standard"):
                return self.batch
            case (None | "standard", "fast"):
                return self.fast
            case _:  # the priority tier is priced by contract
                return None

    def as_json(self) -> dict[str, Any]:
        """The card in dollars per million tokens, as people compare it with a price list."""
        return {
            "model": self.model,
            "priced_as": self.priced_as,
            "source": self.source,
            "day": self.day,
            "unit": "USD per million tokens",
            "standard": _shown(self.standard),
            "batch": self.batch and _shown(self.batch),
            "fast": self.fast and _shown(self.fast),
        }


def dollars(pico: int) -> float:
    return pico / PICO


def pico(dollars: float) -> int:
    return round(dollars * PICO)


def cost(card: RateCard, usage: Mapping[str, Any]) -> int | None:
    """Pico-dollars for one reply; None when the card has no price for what was used. Unknown is not 0."""
    get = usage.get
    fresh, out = get("input_tokens"), get("output_tokens")
    written, read = get("cache_creation_input_tokens") or 0, get("cache_read_input_tokens") or 0
    if not (type(fresh) is int and type(out) is int and type(written) is int and type(read) is int):
        return None
    tier, speed = get("service_tier"), get("speed")
    tariff: Tariff | None = card.standard
    if (tier is not None and tier != "standard") or (speed is not None and speed != "standard"):
        tariff = card.tariff(tier, speed)
    if tariff is None or fresh < 0 or out < 0 or written < 0 or read < 0:
        return None
    rates = tariff.rates(fresh + written + read) if tariff.tiers else tariff.base
    total = fresh * rates.input + out * rates.output
    cached = _cached(rates, written, read, get("cache_creation")) if written or read else 0
    geo, tools = get("inference_geo"), get("server_tool_use")
    if cached is None:
        return None
    if tools is None and (geo is None or geo in ("global", "not_available")):
        return total + cached
    return _special(card, geo, tools, total + cached)


def _special(card: RateCard, geo: object, tools: object, total: int) -> int | None:
    """Add what is charged besides tokens (web searches) or on top of them (inference in one country)."""
    place = str(geo or "")
    more, over = (1, 1) if card.any_tier or place in ANYWHERE else RESIDENT.get(place, (None, 1))
    searched = _searched(card, tools)
    return None if more is None or searched is None else total * more // over + searched


def _cached(rates: Rates, written: int, read: int, split: object) -> int | None:
    """The cost of cache writes (for five minutes, unless the split says an hour) and of cache reads."""
    hour = (split.get("ephemeral_1h_input_tokens") or 0) if isinstance(split, dict) else 0
    if type(hour) is not int or not 0 <= hour <= written:
        return None
    total = 0
    for tokens, rate in (
        (written - hour, rates.cache_write_5m),
        (hour, rates.cache_write_1h),
        (read, rates.cache_read),
    ):
        if tokens:
            if rate is None:
                return None
            total += tokens * rate
    return total


def _searched(card: RateCard, tools: object) -> int | None:
    count = (tools.get("web_search_requests") or 0) if isinstance(tools, dict) else 0
    if type(count) is not int or count < 0:
        return None
    if not count:
        return 0
    return None if card.web_search is None else count * card.web_search


class Step(NamedTuple):
    """The most that a token costs in requests whose prompt has more tokens than `above`."""

    above: int
    plain: int
    cached: int
    output: int


class Ceiling:
    """The most that a request can cost, whatever its real numbers turn out to be.

    It covers what a run with a cap can send: no batches, no fast mode. Where the request is served is up to the
    workspace. `search` is the price of one web search.
    """

    __slots__ = ("_steps", "search")

    def __init__(self, card: RateCard) -> None:
        self.search = USUAL_SEARCH if card.web_search is None else card.web_search
        more, over = (1, 1) if card.any_tier else max(RESIDENT.values())
        tariff = card.standard
        step = Step(0, 0, 0, 0)
        steps = []
        for above, rates in ((0, tariff.base), *((tier.above, tier.rates) for tier in tariff.tiers)):
            found = (rates.input, _dearest_input(rates), rates.output)
            # A later tier may be cheaper, but how many tokens a prompt has is known only from above: so steps never
            # fall.
            step = Step(above, *(max(old, -(-new * more // over)) for old, new in zip(step[1:], found, strict=True)))
            steps.append(step)
        self._steps = tuple(steps)

    def most(self, *, prompt: int, output: int, cached: bool) -> int:
        """Pico-dollars for at most so many tokens; `cached` when the request may write to the cache."""
        steps = self._steps
        step = steps[0]
        for other in steps[1:]:
            if prompt > other.above:
                step = other
        return prompt * (step.cached if cached else step.plain) + output * step.output


def _dearest_input(rates: Rates) -> int:
    unknown = 2 * rates.input  # no model charges more for a cache write
    writes = (unknown if rate is None else rate for rate in (rates.cache_write_5m, rates.cache_write_1h))
    return max(rates.input, rates.cache_read or 0, *writes)


def _shown(tariff: Tariff) -> dict[str, Any]:
    shown: dict[str, Any] = {name: _per_million(rate) for name, rate in msgspec.structs.asdict(tariff.base).items()}
    if tariff.tiers:
        shown["tiers"] = [
            {
                "prompt_tokens_above": tier.above,
                **{name: _per_million(rate) for name, rate in msgspec.structs.asdict(tier.rates).items()},
            }
            for tier in tariff.tiers
        ]
    return shown


def _per_million(rate: int | None) -> float | None:
    return None if rate is None else rate / PER_MILLION
