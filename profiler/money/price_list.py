"""Where prices come from: the manifest, or the list that comes with genai-prices, for the day of the run.

Nothing is fetched. Importing genai-prices takes 0.15 s, so its prices for all models that we know by name are also kept
in `frozen_prices.json` (`make docs` writes it, a test compares), which is used as long as that very version is
installed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.wording import nearest
from profiler.money.prices import PER_MILLION, PICO, RateCard, Rates, Tariff, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.manifest.settings import Experiment, Prices

PROVIDER = "anthropic"
FROZEN = Path(__file__).with_name("frozen_prices.json")


class Dated(msgspec.Struct, frozen=True):
    """A card that holds from the day `since` (None: from the beginning) until a later one does."""

    since: str | None
    card: RateCard


class Frozen(msgspec.Struct, frozen=True):
    """The prices of one version of genai-prices: for each model its dated cards in order, not decoded yet."""

    genai_prices: str
    models: dict[str, msgspec.Raw]


def from_manifest(model: str, prices: Prices) -> RateCard:
    """The card of a model whose prices the manifest gives. They hold for every service tier."""
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
    """The manifest's own prices, else the list prices of the day."""
    if experiment.prices is not None:
        return from_manifest(experiment.model, experiment.prices)
    return look_up(experiment.model, at=at)


def look_up(model: str, *, at: datetime) -> RateCard | None:
    """The card of an Anthropic model on a day; None when nobody knows its price."""
    return frozen_card(model, at=at) or library_card(model, at=at)


def where_to_say_prices(experiment: Experiment) -> str:
    """What to do about a model without a price. Elsewhere than at the provider itself models have other names, which may
    well be right."""
    asked_itself = experiment.client is None and experiment.provider == PROVIDER
    meant = meant_model(experiment.model) if asked_itself else None
    guess = f"did you mean {meant!r}? If not, " if meant is not None else ""
    return f"{guess}say it in the manifest: prices: {{input_per_million: …, output_per_million: …}}"


def meant_model(model: str) -> str | None:
    """The model that a mistyped name probably means; None for a name with a price, and for one that is like no other."""
    if look_up(model, at=datetime.now(UTC)) is not None:
        return None
    return nearest(model, msgspec.json.decode(FROZEN.read_bytes(), type=Frozen).models)


def frozen_card(model: str, *, at: datetime) -> RateCard | None:
    """The card from the frozen list; None when only the library can tell."""
    frozen = msgspec.json.decode(FROZEN.read_bytes(), type=Frozen)
    if model not in frozen.models or not _installed(frozen.genai_prices):
        return None
    day, found = at.date().isoformat(), None
    for dated in msgspec.json.decode(frozen.models[model], type=list[Dated]):
        if dated.since is None or dated.since <= day:
            found = dated.card
    return found and msgspec.structs.replace(found, day=day)


def _installed(version: str) -> bool:
    """Whether this version is installed. `importlib.metadata` would take a third as long as importing the library."""
    spec = find_spec("genai_prices")
    if spec is None or spec.origin is None:
        return False
    return Path(spec.origin).parents[1].joinpath(f"genai_prices-{version}.dist-info").is_dir()


def library_card(model: str, *, at: datetime) -> RateCard | None:
    """The card that the library gives."""
    import genai_prices  # noqa: PLC0415 (takes 0.15 s, and only a model that is not in the frozen list needs it)

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
    """One price list of the library as a tariff.

    There, each kind of token has tiers of its own; here they are merged.
    """
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
    """The rates for a prompt of so many tokens.

    A kind of token without a price is billed as the kind that it belongs to.
    """
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
    """A price for a prompt of so many tokens by the library's rule: the last tier that begins strictly below counts."""
    amount = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        if prompt > tier.start:
            amount = tier.price
    return Decimal(amount)


def _rate(per_million: Decimal | float) -> int:
    return round(Decimal(str(per_million)) * PER_MILLION)
