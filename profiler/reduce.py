"""The one reduction: outcomes in, states that merge out. Runs, `summarize` and the grader all call it.

Comes in: outcomes, or a run directory whose two logs are read in step. Goes out: a `Reduction`, which holds what
was counted, in integers, so that neither the order nor the cut into shards can change a bit of it. Does not round,
print or write, and its memory does not grow with the number of outcomes.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice, repeat, zip_longest
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

import msgspec

from profiler.errors import LogError, Problem
from profiler.metrics import Estimate, Metric
from profiler.model import Failure, Outcome, RecordType
from profiler.stats import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

REQUESTS: Final = "requests.jsonl"
RESPONSES: Final = "responses.jsonl"

TAG_LIMIT: Final = 1000
ERROR_TYPE_LIMIT: Final = 100
BATCH: Final = 256
PENDING_LIMIT: Final = 2048
READ_BUFFER: Final = 1 << 20

PICO: Final = 10**12
LARGEST_COST: Final = 1e9
LARGEST_COUNT: Final = 1 << 53

TYPES: Final[tuple[RecordType, ...]] = get_args(RecordType)
TOKENS: Final = ("input", "output", "cache_creation_input", "cache_read_input", "thinking")
_USAGE_KEYS: Final = tuple((token, f"{token}_tokens") for token in TOKENS[:-1])

States = tuple[Any, ...]
Key = tuple[RecordType, str | None, tuple[str, ...], States]
Value = TypeVar("Value")
Line = TypeVar("Line")


class BadOutcome(ValueError):
    """An outcome holds a number that cannot be: it would spoil a sum for good. `position` counts from 0."""

    def __init__(self, reason: str, *, position: int = 0, dialogue_id: str = "?") -> None:
        super().__init__(f"dialogue {dialogue_id!r}: {reason}")
        self.reason = reason
        self.position = position


class Group(msgspec.Struct, frozen=True):
    """All outcomes that share a tag (or all there are): how many, and one state a metric."""

    n: int
    states: States


class Totals:
    """What needs no metric: sums of tokens, money and attempts, and the histograms of times (of answered outcomes only:
    how fast a failure came says nothing of how fast an answer comes)."""

    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()
        self.latency = Histogram()
        self.queue = Histogram()

    def add(self, batch: list[Outcome]) -> None:
        if not set(TYPES).issuperset([outcome.type for outcome in batch]):
            raise BadOutcome(f"type: one of {', '.join(TYPES)} is expected, found {batch[0].type!r}")
        answered = [outcome for outcome in batch if outcome.type != "error"]
        _add_times(self.latency, "latency_s", [outcome.latency_s for outcome in answered])
        _add_times(self.queue, "queue_s", [outcome.queue_s for outcome in answered])
        usages = [outcome.usage for outcome in batch if outcome.usage is not None]
        costs = [outcome.cost_usd for outcome in batch if outcome.cost_usd is not None]
        attempts = [outcome.attempts for outcome in batch if outcome.attempts is not None]
        self.sums.update(_token_sums(usages))
        self.sums.update(
            usage_known=len(usages),
            pico_dollars=_pico_dollars(costs),
            cost_known=len(costs),
            cost_unknown=len(batch) - len(costs),
            attempts=_whole(attempts, "attempts"),
            attempts_known=len(attempts),
            retried=sum([count > 1 for count in attempts]),
        )

    def merge(self, other: Totals) -> None:
        self.sums.update(other.sums)
        self.latency.merge(other.latency)
        self.queue.merge(other.queue)

    def known(self, name: str, *, given: str) -> int | None:
        """A sum, or None when no outcome said anything of it: unknown is not 0."""
        return self.sums[name] if self.sums[given] else None

    @property
    def tokens(self) -> dict[str, int | None]:
        return {token: self.known(token, given="usage_known") for token in TOKENS}

    @property
    def cost_usd(self) -> float | None:
        return self.sums["pico_dollars"] / PICO if self.sums["cost_known"] else None


class Reduction:
    """What is known of the outcomes added so far.

    Outcomes of one kind contribute equal states, so equal ones are counted first and merged later, once for all.
    """

    def __init__(self, metrics: Sequence[Metric[Any]]) -> None:
        self.metrics = tuple(metrics)
        self._waiting: list[Outcome] = []
        self._taken = 0
        self._pending: Counter[Key] = Counter()
        self._all = self._group(0)
        self._types: dict[RecordType, int] = dict.fromkeys(TYPES, 0)
        self._errors: dict[str, int] = {}
        self._errors_beyond = 0
        self._tags: dict[str, Group] = {}
        self._tags_beyond = self._group(0)
        self._totals = Totals()

    def _group(self, n: int, states: States = ()) -> Group:
        return Group(n, states or (None,) * len(self.metrics))

    # --- adding -------------------------------------------------------------------------------------------------

    def add(self, outcome: Outcome) -> None:
        self._waiting.append(outcome)
        if len(self._waiting) >= BATCH:
            self._take()

    def extend(self, outcomes: Iterable[Outcome]) -> None:
        remaining = iter(outcomes)
        self._take()
        while batch := list(islice(remaining, BATCH)):
            self._waiting = batch
            self._take()

    def _take(self) -> None:
        """Columns instead of single outcomes: one pass of a comprehension each, a third of the time."""
        batch, self._waiting = self._waiting, []
        try:
            self._totals.add(batch)
        except BadOutcome:
            raise self._located(batch) from None
        self._taken += len(batch)
        columns = [_contributions(metric, batch) for metric in self.metrics]
        keys = list(zip(*_kinds(batch), zip(*columns, strict=True) if columns else repeat(()), strict=bool(columns)))
        try:
            self._pending.update(Counter(keys))
        except TypeError:  # a state of somebody's own metric that has no hash
            for key in keys:
                self._fold(key, 1)
        if len(self._pending) >= PENDING_LIMIT:
            self._settle()

    def _located(self, batch: list[Outcome]) -> BadOutcome:
        position, reason = next((at, reason) for at, outcome in enumerate(batch) if (reason := _fault(outcome)))
        return BadOutcome(reason, position=self._taken + position, dialogue_id=batch[position].dialogue_id)

    # --- merging ------------------------------------------------------------------------------------------------

    def merge(self, other: Reduction) -> None:
        """Take in what another shard counted; its own outcomes stay as they are."""
        if [metric.name for metric in self.metrics] != [metric.name for metric in other.metrics]:
            raise ValueError("only reductions of the same metrics can be merged")
        self._settle()
        other._settle()
        self._all = self._joined(self._all, other._all)
        for kind, count in other._types.items():
            self._types[kind] += count
        for name, count in other._errors.items():
            self._errors[name] = self._errors.get(name, 0) + count
        for tag, group in other._tags.items():
            self._tags[tag] = self._joined(self._tags[tag], group) if tag in self._tags else group
        self._errors_beyond += other._errors_beyond
        self._tags_beyond = self._joined(self._tags_beyond, other._tags_beyond)
        self._trim()
        self._totals.merge(other._totals)

    def _settle(self) -> None:
        """Fold all that waits, so that what is read next is true."""
        if self._waiting:
            self._take()
        for key, count in self._pending.items():
            self._fold(key, count)
        self._pending.clear()
        self._trim()

    def _fold(self, key: Key, count: int) -> None:
        kind, error_type, tags, contributions = key
        group = Group(count, self._repeated(contributions, count))
        self._types[kind] += count
        if error_type is not None:
            self._errors[error_type] = self._errors.get(error_type, 0) + count
        self._all = self._joined(self._all, group)
        for tag in dict.fromkeys(tags):
            self._tags[tag] = self._joined(self._tags[tag], group) if tag in self._tags else group

    def _repeated(self, states: States, count: int) -> States:
        """`count` equal contributions, merged by doubling: log2(count) merges instead of count."""
        result: States | None = None
        while True:
            if count & 1:
                result = states if result is None else self._merged(result, states)
            count >>= 1
            if not count:
                return result or ()
            states = self._merged(states, states)

    def _joined(self, left: Group, right: Group) -> Group:
        return Group(left.n + right.n, self._merged(left.states, right.states))

    def _merged(self, left: States, right: States) -> States:
        return tuple(
            [
                theirs if ours is None else ours if theirs is None else metric.merge(ours, theirs)
                for metric, ours, theirs in zip(self.metrics, left, right, strict=True)
            ]
        )

    def _trim(self) -> None:
        """Keep the first names in alphabetical order: whatever the order of arrival, the same ones stay, with all
        their outcomes, for a name that is dropped once can never be among the first again."""
        for group in _beyond(self._tags, limit=TAG_LIMIT):
            self._tags_beyond = self._joined(self._tags_beyond, group)
        self._errors_beyond += sum(_beyond(self._errors, limit=ERROR_TYPE_LIMIT))

    # --- what came out ------------------------------------------------------------------------------------------

    @property
    def total(self) -> int:
        self._settle()
        return self._all.n

    @property
    def types(self) -> dict[RecordType, int]:
        self._settle()
        return dict(self._types)

    @property
    def errors(self) -> dict[str, int]:
        """By type, sorted; beyond the first hundred types together, as `…`."""
        self._settle()
        return dict(sorted(self._errors.items())) | ({"…": self._errors_beyond} if self._errors_beyond else {})

    @property
    def totals(self) -> Totals:
        self._settle()
        return self._totals

    def estimates(self) -> dict[str, Estimate]:
        self._settle()
        return self._finished(self._all)

    def by_tag(self) -> dict[str, tuple[int, dict[str, Estimate]]]:
        self._settle()
        return {tag: (group.n, self._finished(group)) for tag, group in sorted(self._tags.items())}

    def beyond_tags(self) -> tuple[int, dict[str, Estimate]] | None:
        """All tags after the first thousand together; an outcome with two of them counts twice."""
        self._settle()
        group = self._tags_beyond
        return (group.n, self._finished(group)) if group.n else None

    def _finished(self, group: Group) -> dict[str, Estimate]:
        return {metric.name: metric.finish(state) for metric, state in zip(self.metrics, group.states, strict=True)}


def _beyond(named: dict[str, Value], *, limit: int) -> list[Value]:
    return [named.pop(name) for name in sorted(named)[limit:]] if len(named) > limit else []


def _kinds(batch: list[Outcome]) -> tuple[list[RecordType], list[str | None], list[tuple[str, ...]]]:
    return (
        [outcome.type for outcome in batch],
        [None if outcome.type != "error" else _error_type(outcome) for outcome in batch],
        [outcome.tags for outcome in batch],
    )


def _fault(outcome: Outcome) -> str | None:
    try:
        Totals().add([outcome])
    except BadOutcome as error:
        return error.reason
    return None


def _error_type(outcome: Outcome) -> str:
    return outcome.error.type if outcome.error is not None else "unknown"


def _contributions(metric: Metric[Any], batch: list[Outcome]) -> list[Any]:
    contribute, at = metric.contribute, None
    try:
        return [contribute(at := outcome) for outcome in batch]
    except Exception as error:
        error.add_note(f"while metric {metric.name!r} looked at dialogue {at and at.dialogue_id!r}")
        raise


def _add_times(histogram: Histogram, name: str, times: list[float | None]) -> None:
    try:
        histogram.update([time for time in times if time is not None])
    except (ValueError, TypeError) as error:
        raise BadOutcome(f"{name}: {error}") from error


def _token_sums(usages: list[dict[str, Any]]) -> dict[str, int]:
    sums = {token: _column(usages, key) for token, key in _USAGE_KEYS}
    details = [found for usage in usages if (found := usage.get("output_tokens_details")) is not None]
    if not all(isinstance(found, dict) for found in details):
        raise BadOutcome("usage.output_tokens_details: an object is expected")
    return sums | {"thinking": _column(details, "thinking_tokens")}


def _column(usages: list[dict[str, Any]], key: str) -> int:
    return _whole([count for usage in usages if (count := usage.get(key)) is not None], f"usage.{key}")


def _whole(counts: list[Any], name: str) -> int:
    if not counts:
        return 0
    if set(map(type, counts)) != {int} or min(counts) < 0 or max(counts) > LARGEST_COUNT:
        raise BadOutcome(f"{name}: a whole number is expected, found {counts[0]!r}")
    total: int = sum(counts)
    return total


def _pico_dollars(costs: list[float]) -> int:
    if len([cost for cost in costs if 0 <= cost <= LARGEST_COST]) < len(costs):
        raise BadOutcome(f"cost_usd: a number from 0 to {LARGEST_COST:g} is expected, found {costs[0]!r}")
    return sum([round(cost * PICO) for cost in costs])


def reduce_outcomes(outcomes: Iterable[Outcome], metrics: Sequence[Metric[Any]]) -> Reduction:
    reduction = Reduction(metrics)
    reduction.extend(outcomes)
    return reduction


# --- logs -------------------------------------------------------------------------------------------------------


class _Expected(msgspec.Struct, gc=False):
    """What metrics need of a line of requests.jsonl; the decoder skips the rest."""

    dialogue_id: str
    index: int | None = None
    required_facts: tuple[str, ...] = ()
    expect_refusal: bool | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}


class _Got(msgspec.Struct, gc=False):
    """The same of responses.jsonl. `output_fields` may have left out all but the first two."""

    dialogue_id: str
    type: RecordType
    index: int | None = None
    completion: str | None = None
    replies: tuple[str, ...] = ()
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None
    latency_s: float | None = None
    queue_s: float | None = None
    attempts: int | None = None
    cost_usd: float | None = None
    error: Failure | None = None


def reduce_logs(log_dir: Path, metrics: Sequence[Metric[Any]], *, complete: bool = True) -> Reduction:
    try:
        return reduce_outcomes(read_outcomes(log_dir, complete=complete), metrics)
    except BadOutcome as error:
        raise _damaged(log_dir / RESPONSES, error.reason, line=error.position + 1) from error


def read_outcomes(log_dir: Path, *, complete: bool = True) -> Iterator[Outcome]:
    """Both logs in step, one outcome a line. With `complete=False` the run may still be going on: responses may be
    fewer than requests, and a torn last line is not there yet."""
    requests, responses = log_dir / REQUESTS, log_dir / RESPONSES
    pairs = zip_longest(
        lines_of(requests, msgspec.json.Decoder(_Expected).decode, complete=complete),
        lines_of(responses, msgspec.json.Decoder(_Got).decode, complete=complete),
    )
    for index, (expected, got) in enumerate(pairs):
        if got is None:
            if complete:
                raise _damaged(responses, f"ends after {index} lines, {REQUESTS} goes on: the run is unfinished")
            return
        if expected is None:
            raise _damaged(requests, f"ends after {index} lines, {RESPONSES} goes on")
        if expected.dialogue_id != got.dialogue_id:
            found = f"is dialogue {got.dialogue_id!r}, but line {index + 1} of {REQUESTS} is {expected.dialogue_id!r}"
            raise _damaged(responses, found, line=index + 1)
        if expected.index != index and expected.index is not None:
            raise _damaged(requests, f"has index {expected.index}, {index} is expected", line=index + 1)
        if got.index != index and got.index is not None:
            raise _damaged(responses, f"has index {got.index}, {index} is expected", line=index + 1)
        yield _outcome(expected, got)


def _outcome(expected: _Expected, got: _Got) -> Outcome:
    return Outcome(
        dialogue_id=got.dialogue_id,
        type=got.type,
        completion=got.completion,
        replies=got.replies,
        stop_reason=got.stop_reason,
        usage=got.usage,
        latency_s=got.latency_s,
        queue_s=got.queue_s,
        attempts=got.attempts,
        cost_usd=got.cost_usd,
        error=got.error,
        required_facts=expected.required_facts,
        expect_refusal=expected.expect_refusal,
        tags=expected.tags,
        metadata=expected.metadata,
    )


def lines_of(path: Path, decode: Callable[[bytes], Line], *, complete: bool) -> Iterator[Line]:
    """The decoded lines of a log; a torn last line is an error only when the log is said to be complete."""
    if not path.is_file():
        raise _damaged(path, "no such file; a log directory holds requests.jsonl and responses.jsonl")
    try:
        with path.open("rb", buffering=READ_BUFFER) as file:
            for number, line in enumerate(file, 1):
                try:
                    value = decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    if line.endswith(b"\n"):
                        raise _damaged(path, f"is not a line of this log: {error}", line=number) from error
                    if complete:
                        raise _damaged(path, f"is cut off in the middle: {error}", line=number) from error
                    return
                yield value
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error.strerror or error}") from error


def _damaged(path: Path, message: str, *, line: int | None = None) -> LogError:
    return LogError([Problem(path=str(path), line=line, message=message)])
