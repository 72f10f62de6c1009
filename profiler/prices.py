"""What a reply cost: the prices of one model, taken down once a run, and the arithmetic over its usage.

Comes in: a model id and a date, or the prices of a manifest; then the usage of each reply. Goes out: a frozen
`RateCard`, None for a model nobody knows the price of, and whole pico-dollars, None where usage and card do not
say. Knows nothing of runs, caps or files.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from profiler.settings import Experiment, Prices

PICO = 10**12
PER_MILLION = 10**6  # dollars a million tokens → pico-dollars a token; six decimals of a price are exact
PROVIDER = "anthropic"

# Inference kept in the United States costs a tenth more for every token. genai-prices does not know that; the reply's
# usage says where it ran, and a workspace may ask for it without a word in the request.
RESIDENT = {"us": (11, 10)}
ANYWHERE = frozenset({"", "global", "not_available"})


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Pico-dollars a token. None: this kind of token has no known price."""

    input: int
    output: int
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    cache_read: int | None = None


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """The rates of every token of a request whose prompt has more tokens than `above`."""

    above: int
    rates: Rates


class Tariff(msgspec.Struct, frozen=True, kw_only=True):
    """The rates of one way to be served; tiers in rising order, the last one that applies counts."""

    base: Rates
    tiers: tuple[Tier, ...] = ()

    def rates(self, prompt: int) -> Rates:
        rates = self.base
        for tier in self.tiers:
            if prompt > tier.above:
                rates = tier.rates
        return rates


class RateCard(msgspec.Struct, frozen=True, kw_only=True):
    """The prices of one model on one day. `batch` and `fast` are None where nothing is known of them."""

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
        """As people compare it with a price list: dollars a million tokens."""
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
    """Pico-dollars for one reply. None when the card has no price for what was used: unknown is not 0."""
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
    """What comes on top of the tokens: a place that was asked for, and searches of the web."""
    place = str(geo or "")
    more, over = (1, 1) if card.any_tier or place in ANYWHERE else RESIDENT.get(place, (None, 1))
    searched = _searched(card, tools)
    return None if more is None or searched is None else total * more // over + searched


def _cached(rates: Rates, written: int, read: int, split: object) -> int | None:
    """What was written to the cache, for five minutes unless the split says an hour, and what was read from it."""
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
    """The most a token costs in requests whose prompt has more tokens than `above`."""

    above: int
    plain: int
    cached: int
    output: int


class Ceiling:
    """The most that a request can cost, whatever its real numbers turn out to be.

    Said for what a run may send: no tools, no batches, no fast lane; where it is served is up to the workspace.
    """

    __slots__ = ("_steps",)

    def __init__(self, card: RateCard) -> None:
        more, over = (1, 1) if card.any_tier else max(RESIDENT.values())
        tariff = card.standard
        step = Step(0, 0, 0, 0)
        steps = []
        for above, rates in ((0, tariff.base), *((tier.above, tier.rates) for tier in tariff.tiers)):
            found = (rates.input, _dearest_input(rates), rates.output)
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
    unknown = 2 * rates.input  # the most that a cache write costs on any model
    writes = (unknown if rate is None else rate for rate in (rates.cache_write_5m, rates.cache_write_1h))
    return max(rates.input, rates.cache_read or 0, *writes)


def from_manifest(model: str, prices: Prices) -> RateCard:
    """The card of a model whose prices the manifest gives; they hold however the request is served."""
    written, read = prices.cache_write_per_million, prices.cache_read_per_million
    write = None if written is None else _rate(written)
    rates = Rates(
        input=_rate(prices.input_per_million),
        output=_rate(prices.output_per_million),
        cache_write_5m=write,
        cache_write_1h=write,
        cache_read=None if read is None else _rate(read),
    )
    return RateCard(
        model=model, priced_as=model, source="manifest", day=None, standard=Tariff(base=rates), any_tier=True
    )


def card_of(experiment: Experiment, *, at: datetime) -> RateCard | None:
    """The manifest's own prices, else the list price of the day."""
    if experiment.prices is not None:
        return from_manifest(experiment.model, experiment.prices)
    return look_up(experiment.model, at=at)


def look_up(model: str, *, at: datetime) -> RateCard | None:
    """The card of a model of Anthropic on a day, from the data that came with genai-prices; nothing is fetched."""
    import genai_prices  # noqa: PLC0415 (takes a third of a second, and only who asks for a price needs it)

    def prices(**context: str) -> Any:
        return genai_prices.calc_price(
            genai_prices.Usage(input_tokens=0, output_tokens=0),
            model,
            provider_id=PROVIDER,
            genai_request_timestamp=at,
            price_context=context or None,
        )

    try:
        found = prices()
    except LookupError:
        return None
    standard = _tariff(found.model_price)
    if standard is None:
        return None
    others = {
        name: tariff if tariff != standard else None  # the library falls back to the standard prices
        for name, context in (("batch", {"processing": "batch"}), ("fast", {"speed": "fast"}))
        if (tariff := _tariff(prices(**context).model_price)) is not None
    }
    searches = getattr(found.model_price, "web_searches_kcount", None)
    return RateCard(
        model=model,
        priced_as=found.model.id,
        source=f"genai-prices {genai_prices.__version__}",
        day=at.date().isoformat(),
        standard=standard,
        batch=others.get("batch"),
        fast=others.get("fast"),
        context_window=found.model.context_window,
        web_search=int(searches * PICO) // 1000 if isinstance(searches, Decimal) else None,
    )


def _tariff(price: Any) -> Tariff | None:
    """One of the library's price lists as a tariff; each of its prices has tiers of its own."""
    keys = ("input", "output", "cache_write", "cache_write_1h", "cache_read")
    listed = {key: getattr(price, f"{key}_mtok", None) for key in keys}
    if listed["input"] is None or listed["output"] is None:
        return None
    starts = sorted({tier.start for found in listed.values() for tier in getattr(found, "tiers", ())})
    return Tariff(
        base=_rates(listed, prompt=0),
        tiers=tuple(Tier(above=start, rates=_rates(listed, prompt=start + 1)) for start in starts),
    )


def _rates(listed: Mapping[str, Any], *, prompt: int) -> Rates:
    """The library bills a kind of token without a price of its own as the kind that it belongs to."""
    found = {key: None if price is None else _rate(_at(price, prompt)) for key, price in listed.items()}
    plain = found["input"] or 0
    write = plain if found["cache_write"] is None else found["cache_write"]
    return Rates(
        input=plain,
        output=found["output"] or 0,
        cache_write_5m=write,
        cache_write_1h=write if found["cache_write_1h"] is None else found["cache_write_1h"],
        cache_read=plain if found["cache_read"] is None else found["cache_read"],
    )


def _at(price: Any, prompt: int) -> Decimal:
    """The price for a prompt of so many tokens, by the library's rule: strictly above a start, the last one counts."""
    amount = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        if prompt > tier.start:
            amount = tier.price
    return Decimal(amount)


def _rate(per_million: Decimal | float) -> int:
    return round(Decimal(str(per_million)) * PER_MILLION)


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
