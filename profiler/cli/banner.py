"""The first lines of a run: whether it is mock or live, who answers, and what is probably a mistake."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from profiler.core.errors import UsageError
from profiler.money.price_list import meant_model
from profiler.provider.address import address_of, doubt_of
from profiler.provider.source import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from profiler.core.nouns import Mode
    from profiler.manifest.settings import Experiment

NEARLY_THE_KEY = ("ANTHROPIC_APIKEY", "ANTHROPIC_KEY", "ANTHROPIC_API_TOKEN", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_API_KEY")


def banner(mode: Mode, experiments: Sequence[Experiment]) -> str:
    count = len(experiments)
    what = f"{count} experiment{'s' if count != 1 else ''}"
    own = Counter(experiment.client for experiment in experiments if experiment.client is not None)
    if own:
        answered = ", ".join(
            f"{'' if times == count else f'{times} of them '}answered by own client {name}"
            for name, times in own.items()
        )
        return (
            f"MODE: {mode.upper()} — {what}, {answered}; whether that asks a provider and spends money, only it knows"
        )
    if mode == "mock":
        return f"MODE: MOCK — {what}, answered by the deterministic mock; no provider is asked, nothing is spent"
    return f"MODE: LIVE — {what}, asked of the provider; this spends money"


def hints(mode: Mode, experiments: Sequence[Experiment], environ: Mapping[str, str]) -> Iterator[str]:
    """Hints at probable mistakes: a key under another name, an address with a part too many, a mistyped model."""
    if (name := key_under_another_name(environ)) is not None:
        yield f"hint: {name} is set, which nothing reads; the key is expected in {KEY}"
    if mode == "live":
        asked = [each for each in experiments if each.client is None and each.provider == "anthropic"]
        # experiments mostly share one address, so the same doubt is printed once
        for doubt in dict.fromkeys(doubt for each in asked if (doubt := _doubt(each, environ))):
            yield f"hint: {doubt}"
        unpriced = dict.fromkeys(each.model for each in asked if each.prices is None)
        for model in unpriced:
            if (meant := meant_model(model)) is not None:
                yield f"hint: nobody here knows the model {model!r}; did you mean {meant!r}?"


def key_under_another_name(environ: Mapping[str, str]) -> str | None:
    if environ.get(KEY):
        return None
    return next((name for name in NEARLY_THE_KEY if environ.get(name)), None)


def _doubt(experiment: Experiment, environ: Mapping[str, str]) -> str | None:
    try:
        return doubt_of(address_of(experiment, environ))
    except UsageError:
        return None  # the run reports the error itself
