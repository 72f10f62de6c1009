"""Which request meets which fault: by the rules of a script, by its sequence, or by the rates of names."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import ManifestError, Problem, UsageError
from profiler.core.wording import did_you_mean
from profiler.provider.mock_server.admission.faults import NAMES, NO_FAULT, OK, ONLY_AT, STATUSES, Fault
from profiler.provider.mock_server.endpoints import BATCH_ITEM, check_selector, covers
from profiler.provider.mock_server.wire.request_parser import HEADER_VALUE, TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MESSAGES = "messages"
EXAMPLE = 'such as ["429", "ok", {"fault": "500", "times": 3}, {"endpoint": "batches.create", "fault": "429"}]'


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request when its fault is chosen. `draw` lies in (0, 1)."""

    endpoint: str
    draw: float
    model: str | None = None
    dialogue_id: str = ""
    text: str = ""


class Faults:
    """Gives each request its fault: rules of the script first, then its sequence, then the rates."""

    def __init__(self, *, rates: Mapping[str, float], script: Sequence[Fault] = ()) -> None:
        self.rates = rates
        self.script = script
        self._rates = [(*_place(name), rate) for name, rate in rates.items()]
        self.reset()

    def __bool__(self) -> bool:
        return bool(self.rates or self.script)

    def reset(self) -> None:
        """The script begins again."""
        self._rules = [(fault, [fault.times or -1]) for fault in self.script if _is_rule(fault)]
        self._sequence = (fault for fault in self.script if not _is_rule(fault) for _ in range(fault.times or 1))

    def next(self, subject: Subject) -> Fault:
        for rule, left in self._rules:
            if left[0] and _fits(rule, subject):
                left[0] -= 1
                return rule
        if subject.endpoint == MESSAGES and (scripted := next(self._sequence, None)) is not None:
            return scripted
        draw = subject.draw
        for name, selector, rate in self._rates:
            if not covers(selector, subject.endpoint):
                continue
            if draw < rate:
                return Fault(fault=name)
            draw -= rate
        return NO_FAULT


def _is_rule(fault: Fault) -> bool:
    return fault.is_rule or fault.at != MESSAGES


def _fits(rule: Fault, subject: Subject) -> bool:
    return (
        covers(rule.at, subject.endpoint)
        and (rule.model is None or (subject.model is not None and fnmatchcase(subject.model, rule.model)))
        and rule.dialogue_id in (None, subject.dialogue_id)
        and (rule.contains is None or rule.contains in subject.text)
    )


def _place(written: str) -> tuple[str, str]:
    """`429@batches.create` is a fault at an endpoint; without one it is where the fault belongs."""
    name, _, selector = written.partition("@")
    return name, selector or ONLY_AT.get(name, MESSAGES)


def check_rates(rates: Mapping[str, float]) -> None:
    total: dict[str, float] = {}
    for written, rate in rates.items():
        name, selector = _place(written)
        _check(name, selector, where="--fault")
        total[selector] = total.get(selector, 0.0) + rate
    for selector, rate in total.items():
        if rate > 1 + 1e-9:
            raise UsageError(f"--fault: found rates of {rate:g} together for {selector}, expected at most 1")


def _check(name: str, selector: str, *, where: str) -> None:
    if name not in NAMES:
        hint = did_you_mean(name, NAMES) or f"faults are: {', '.join(NAMES)}"
        raise UsageError(f"{where}: found {name!r}, expected the name of a fault", hint=hint)
    if (complaint := check_selector(selector)) is not None:
        raise UsageError(f"{where}: {complaint}")
    only = ONLY_AT.get(name, selector)
    if only != selector:
        raise UsageError(f"{where}: found {name!r} at {selector!r}, it can only go wrong at {only!r}")
    if selector == BATCH_ITEM and name not in STATUSES:
        raise UsageError(
            f"{where}: found {name!r} at {BATCH_ITEM!r}, expected a status",
            hint=f"one request of a batch can fail with {', '.join(STATUSES)}",
        )


def load_script(path: Path) -> list[Fault]:
    """A JSON list: names of faults, "ok" or null for none, or objects that say more."""
    try:
        entries = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise ManifestError([Problem(path=str(path), message=f"cannot read: {error.strerror}")]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_script(str(path), error) from error
    return read_script(entries, where=str(path))


def read_script(entries: Any, *, where: str) -> list[Fault]:
    try:
        found = msgspec.convert(entries, list[Fault | str | None])
    except msgspec.ValidationError as error:
        raise _no_script(where, error) from error
    script = [entry if isinstance(entry, Fault) else Fault(fault=entry or OK) for entry in found]
    for fault in script:
        if fault.fault != OK:
            _check(fault.fault, fault.at, where=where)
        elif fault.endpoint is not None:
            _check("429", fault.endpoint, where=where)
        _check_headers(fault, where=where)
    return script


def _check_headers(fault: Fault, *, where: str) -> None:
    for name, value in (fault.headers or {}).items():
        if TOKEN.fullmatch(name) is None or HEADER_VALUE.fullmatch(value) is None:
            raise UsageError(f"{where}: found {name!r}: {value!r}, which is no header field")


def _no_script(where: str, error: Exception) -> ManifestError:
    message = f"found a file that does not decode ({error}), expected a JSON list of faults"
    return ManifestError([Problem(path=where, message=message, hint=EXAMPLE)])
