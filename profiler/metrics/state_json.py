"""The JSON form of what a reduction has counted, so that processes can pass it on and merge it exactly.

Numbers stay what they are: whole numbers have as many digits as they need, floats are written so that they are read back
to the last bit, and tuples stay tuples, which plain JSON does not know. The form has a version.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from profiler.core import own_code
from profiler.core.errors import UsageError
from profiler.core.nouns import Outcome
from profiler.metrics.counted import Content, Group, MetricFault
from profiler.metrics.reduction import Reduction
from profiler.metrics.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.metrics.metric import Metric

FORMAT: Final = 1
PLAIN: Final = (bool, int, float, str, type(None))
SAYS: Final = "whole and other numbers, texts, true, false and None, in tuples, lists and dicts with texts as keys"

# One that counts for most metrics, to see what their states are made of before anything is asked.
PROBE: Final = Outcome(
    "an item to try metrics with", "answer", "An answer of five words.", (), "end_turn", {"input_tokens": 9}, 0.5
)


def dump(reduction: Reduction) -> bytes:
    held = reduction.content()
    found = {
        "format": FORMAT,
        "metrics": [metric.name for metric in reduction.metrics],
        "all": _group(held.all),
        "repeats": held.repeats,
        "types": held.types,
        "errors": held.errors,
        "errors_beyond": held.errors_beyond,
        "tags": {tag: _group(group) for tag, group in held.tags.items()},
        "tags_beyond": _group(held.tags_beyond),
        "totals": held.totals.as_json(),
        "faults": msgspec.to_builtins(held.faults),
    }
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def load(content: bytes, metrics: Sequence[Metric[Any]]) -> Reduction:
    """Raises ValueError where this is no such form, or holds states of other metrics."""
    found = json.loads(content.decode("utf-8", "surrogatepass"))
    names = [metric.name for metric in metrics]
    if not isinstance(found, dict) or (found.get("format"), found.get("metrics")) != (FORMAT, names):
        raise ValueError(f"expected what was counted of {', '.join(names)} in format {FORMAT}")
    held = Content(
        all=_group_of(found["all"]),
        repeats=found["repeats"],
        types=found["types"],
        errors=found["errors"],
        errors_beyond=found["errors_beyond"],
        tags={tag: _group_of(group) for tag, group in found["tags"].items()},
        tags_beyond=_group_of(found["tags_beyond"]),
        totals=Totals.from_json(found["totals"]),
        faults=msgspec.convert(found["faults"], tuple[MetricFault, ...]),
    )
    return Reduction.holding(metrics, held)


def refuse_unspeakable(metrics: Sequence[Metric[Any]]) -> None:
    """Raise for a metric whose states could not be passed on, as far as one item shows it.

    One that raises, or does not count this item, is left to the run: what is wrong with it is told there.
    """
    for metric in metrics:
        try:
            state = metric.contribute(PROBE)
            state = None if state is None else metric.merge(state, state)
        except BaseException as error:  # noqa: BLE001 (it may be the user's own and raise anything)
            own_code.expect_fault(error)
            continue
        expect_speakable(metric.name, state)


def expect_speakable(name: str, state: Any) -> None:
    try:
        state_as_json(state)
    except TypeError as error:
        raise UsageError(
            f"metric {name!r} keeps {error}, which several processes cannot pass on to each other",
            hint=f"its states may be {SAYS}; or run it by one process, without --processes",
        ) from None


def state_as_json(state: Any) -> Any:
    """A state as JSON: lists stand for tuples, and every other value is wrapped."""
    kind = type(state)
    if kind in PLAIN:
        return state
    if kind is tuple:
        return [state_as_json(each) for each in state]
    if kind is list:
        return {"list": [state_as_json(each) for each in state]}
    if kind is dict:
        if strange := next((key for key in state if type(key) is not str), None):
            raise TypeError(f"a dict with the key {strange!r}")
        return {"dict": {key: state_as_json(each) for key, each in state.items()}}
    raise TypeError(f"a {kind.__name__}")


def state_from_json(found: Any) -> Any:
    """The state that `state_as_json` made into JSON."""
    if isinstance(found, list):
        return tuple([state_from_json(each) for each in found])
    if isinstance(found, dict):
        if "list" in found:
            return [state_from_json(each) for each in found["list"]]
        return {key: state_from_json(each) for key, each in found["dict"].items()}
    return found


def _group(group: Group) -> list[Any]:
    return [group.n, [state_as_json(state) for state in group.states]]


def _group_of(found: list[Any]) -> Group:
    n, states = found
    return Group(n, tuple([state_from_json(state) for state in states]))
