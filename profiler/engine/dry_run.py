"""Estimates from the dataset alone what a run would ask, how long it would take and what it would cost (`--dry-run`).

Sends nothing, writes nothing and needs no key.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from profiler.dataset import file
from profiler.dataset.selection import ALL, Selection
from profiler.metrics.builtin import unmeasured
from profiler.metrics.unfit_dataset import refuse_unfit
from profiler.money.budget import usd
from profiler.money.price_list import where_to_say_prices
from profiler.money.prices import Ceiling, cost, dollars, pico
from profiler.money.worst_case import dialogue_most, prompt_bound
from profiler.provider.refused_settings import refused_settings
from profiler.provider.requests import Planner, params_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from profiler.core.nouns import Dialogue, Request
    from profiler.manifest.settings import Experiment
    from profiler.money.prices import RateCard
    from profiler.storage.kept_answers import Kept

# Tokens per character, for ASCII and for other characters. English prose has 3.5 to 5 characters a token, other scripts
# not many more than one.
LOW, EXPECTED = (1 / 5, 1 / 2), (1 / 3.5, 1.0)
MESSAGE_TOKENS = 5
SHORT_REPLY, TYPICAL_REPLY = 50, 500

METHOD = (
    "input: low 5, expected 3.5 ASCII characters a token (other scripts: 2 and 1); high: one token a byte",
    "output: low a tenth of max_tokens, at most 50; expected half of it, at most 500 without thinking; worst all of it",
    "retries are not counted, nor answers that an earlier run has",
)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A number that is not known yet: a low guess, the expected value, and a bound that it cannot pass."""

    low: float
    expected: float
    most: float


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """The estimate for one experiment. Without prices it has no cost, and without limits no time."""

    experiment_id: str
    model: str
    dialogues: int
    repeats: int | msgspec.UnsetType = msgspec.UNSET
    kept: int
    reused: int
    requests: int
    input_tokens: Span
    output_tokens: Span
    cost_usd: Span | None
    billed_before_usd: float
    max_cost_usd: float | None
    eta_s: float | None
    bound_by: str | None
    rate_card: dict[str, Any] | None
    warnings: tuple[str, ...]
    method: tuple[str, ...] = METHOD


class Sums(msgspec.Struct, kw_only=True):
    """Running totals of what is still to be asked; lists hold low, expected and most. `answers` and `kept` count the
    repeats of a dialogue one by one."""

    dialogues: int = 0
    answers: int = 0
    kept: int = 0
    reused: int = 0
    requests: int = 0
    media: int = 0
    tokens_in: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0, 0.0])
    tokens_out: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0, 0.0])
    cost: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0])


def estimate(
    experiment: Experiment,
    *,
    card: RateCard | None,
    kept: Kept | None = None,
    known: Callable[[Request], object] | None = None,
    selection: Selection = ALL,
    max_cost_usd: float | None = None,
    concurrency: int | None = None,
    latency_s: float | None = None,
) -> DryRun:
    """Read the dataset twice: once to check it, as a run would, and once to add it up.

    `known` finds an answer of an earlier run that would be taken over.
    """
    survey = file.survey(experiment.dataset_path, fields=experiment.dataset_fields, selection=selection)
    refuse_unfit(experiment, survey, selection=selection)
    repeats = experiment.repeats
    planner = Planner(params_of(experiment), system=experiment.system)
    ceiling = None if card is None else Ceiling(card)
    replies = _replies(experiment)
    sums = Sums()
    done = None if kept is None or kept.differs else kept.done
    with file.reading(experiment.dataset_path, fields=experiment.dataset_fields, selection=selection) as dialogues:
        for request in planner.plan(itertools.islice(dialogues, survey.count)):
            first = request.index * repeats
            owed = [repeat for repeat in range(repeats) if done is None or not done[first + repeat]]
            sums.kept += repeats - len(owed)
            if known is not None:
                unknown = [each for each in owed if known(msgspec.structs.replace(request, repeat=each)) is None]
                sums.reused += len(owed) - len(unknown)
                owed = unknown
            if times := len(owed):
                _add(sums, request, times=times, system=experiment.system, replies=replies, card=card, ceiling=ceiling)
    eta_s, bound_by = _time(experiment, sums, concurrency=concurrency or experiment.concurrency, latency_s=latency_s)
    cost_usd = None if card is None else _span([dollars(part) for part in sums.cost])
    return DryRun(
        experiment_id=experiment.experiment_id,
        model=experiment.model,
        dialogues=sums.dialogues,
        repeats=repeats if repeats > 1 else msgspec.UNSET,
        kept=sums.kept,
        reused=sums.reused,
        requests=sums.requests,
        input_tokens=_span([round(part) for part in sums.tokens_in]),
        output_tokens=_span([round(part) for part in sums.tokens_out]),
        cost_usd=cost_usd,
        billed_before_usd=0.0 if kept is None else kept.billed_usd,
        max_cost_usd=max_cost_usd,
        eta_s=eta_s,
        bound_by=bound_by,
        rate_card=None if card is None else card.as_json(),
        warnings=(
            *unmeasured(experiment.metrics, survey),
            *survey.remarks,
            *_warnings(experiment, sums, kept=kept, cost_usd=cost_usd, max_cost_usd=max_cost_usd),
        ),
    )


def _span(parts: Sequence[float]) -> Span:
    return Span(low=parts[0], expected=parts[1], most=parts[2])


def _replies(experiment: Experiment) -> tuple[int, int, int]:
    """Tokens of one reply: low, expected, most."""
    most = experiment.max_tokens
    half = -(-most // 2)
    return min(-(-most // 10), SHORT_REPLY), half if experiment.thinking else min(half, TYPICAL_REPLY), most


def _add(
    sums: Sums,
    request: Request,
    *,
    times: int,
    system: str | None,
    replies: tuple[int, int, int],
    card: RateCard | None,
    ceiling: Ceiling | None,
) -> None:
    """Add one dialogue that is asked so many times: each of its turns is sent with all that was said before."""
    dialogue = request.dialogue
    sums.dialogues += 1
    sums.answers += times
    sums.media += _media(dialogue) * times
    prompts = [0.0, 0.0]
    bound = prompt_bound(request, window=None if card is None else card.context_window)
    told = request.line.request
    settings = "" if told is UNSET else bytes(told).decode()  # tools and schemas are read as well
    for turn, texts in enumerate(_turns(dialogue, [system or "", settings])):
        sums.requests += times
        for which, weights in enumerate((LOW, EXPECTED)):
            prompts[which] += _tokens(texts, weights) + (replies[which] if turn else 0)
            sums.tokens_in[which] += prompts[which] * times
            if card is not None:
                usage = {"input_tokens": round(prompts[which]), "output_tokens": replies[which]}
                sums.cost[which] += (cost(card, usage) or 0) * times
        bound += (len(texts[-1].encode()) + replies[2]) if turn else 0
        sums.tokens_in[2] += bound * times
        for which, tokens in enumerate(replies):
            sums.tokens_out[which] += tokens * times
    if card is not None and ceiling is not None:
        sums.cost[2] += dialogue_most(ceiling, request, window=card.context_window) * times


def _turns(dialogue: Dialogue, shared: Sequence[str]) -> Iterator[list[str]]:
    """The texts that each request adds to the prompt; the first one brings the system prompt and what is sent besides."""
    system, settings = shared
    opening = [dialogue.system or system, *([settings] if settings else [])]
    if dialogue.user is not None:
        yield [*opening, dialogue.user]
    elif dialogue.messages is not None:
        yield opening + [text for message in dialogue.messages for text in _texts(message.content)]
    else:
        first, *others = dialogue.turns or ("",)
        yield [*opening, first]
        for text in others:
            yield [text]


def _texts(content: str | list[dict[str, Any]]) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [text for block in content if isinstance(text := block.get("text"), str)]


def _media(dialogue: Dialogue) -> int:
    contents = (message.content for message in dialogue.messages or () if not isinstance(message.content, str))
    return sum("text" not in block for content in contents for block in content)


def _tokens(texts: list[str], weights: tuple[float, float]) -> float:
    ascii_weight, other_weight = weights
    total = 0.0
    for text in texts:
        plain = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
        total += plain * ascii_weight + (len(text) - plain) * other_weight + MESSAGE_TOKENS
    return total


def _time(
    experiment: Experiment, sums: Sums, *, concurrency: int, latency_s: float | None
) -> tuple[float | None, str | None]:
    """The soonest that the run can end, in seconds, and what keeps it from ending sooner."""
    limits = experiment.rate_limits
    bounds = []
    if limits is not None:
        bounds = [
            (60 * need / allowed, name)
            for need, allowed, name in (
                (sums.requests, limits.requests_per_minute, "requests a minute"),
                (sums.tokens_in[1], limits.input_tokens_per_minute, "input tokens a minute"),
                (sums.tokens_out[1], limits.output_tokens_per_minute, "output tokens a minute"),
            )
            if allowed is not None
        ]
    if latency_s is not None:
        bounds.append((sums.requests * latency_s / min(concurrency, max(sums.answers, 1)), "concurrency"))
    return max(bounds, default=(None, None))


def _warnings(
    experiment: Experiment, sums: Sums, *, kept: Kept | None, cost_usd: Span | None, max_cost_usd: float | None
) -> Iterator[str]:
    yield from refused_settings(experiment)
    if kept is not None and kept.differs:
        yield f"its folder holds another run, so a live one is refused there without --fresh: {kept.differs[0]}"
    total = sums.kept + sums.reused + sums.answers
    if sums.kept:
        yield f"{sums.kept:,} of {total:,} answers are kept and not asked again"
    if sums.reused:
        yield f"{sums.reused:,} of {total:,} answers would be taken over from earlier runs and cost nothing"
    before = 0.0 if kept is None else kept.billed_usd
    if sums.media:
        yield f"{sums.media:,} images, documents or other blocks are not counted as text; their tokens are unknown"
    if cost_usd is None:
        yield f"nobody knows what {experiment.model!r} costs: {where_to_say_prices(experiment)}"
        if max_cost_usd is not None:
            yield "max_cost_usd could not be held without a price: a live run would refuse to start"
    elif max_cost_usd is not None and before + cost_usd.expected > max_cost_usd:
        yield f"the expected cost is above the cap of {usd(pico(max_cost_usd))}: the run would stop there, resumable"
    elif max_cost_usd is not None and before + cost_usd.most > max_cost_usd:
        yield f"the worst case is above the cap of {usd(pico(max_cost_usd))}: the run may stop there, resumable"
