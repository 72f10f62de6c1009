"""The one gate before every endpoint: it asks the limits and the faults, and either lets a request through or raises the error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from profiler.provider.mock_server.admission.calls import Call, ServerReply
from profiler.provider.mock_server.admission.chance import draws
from profiler.provider.mock_server.admission.fault_script import Faults, Subject, check_rates, load_script, read_script
from profiler.provider.mock_server.admission.faults import OK, Fault, error_of, own_reply
from profiler.provider.mock_server.admission.rate_limits import Limits, Need
from profiler.provider.mock_server.settings import ApiError, LimitRule, ServerSettings
from profiler.provider.mock_server.wire.reply_bytes import field_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.provider.mock_server.history.counters import Stats


class FaultSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All faults there are: the rates of names, and the entries of a script."""

    rates: dict[str, Annotated[float, Meta(ge=0, le=1)]] = {}
    script: list[Any] = []


class LimitSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All limits there are. `batch_queue` is how many requests of batches may wait at once."""

    rules: list[LimitRule] = []
    burst_s: Annotated[float, Meta(gt=0)] = 60.0
    concurrency_limit: Annotated[int, Meta(ge=1)] | None = None
    batch_queue: Annotated[int, Meta(ge=1)] | None = None


class Admission:
    """Both can be changed at any time; `reset` brings back those of the settings."""

    def __init__(self, settings: ServerSettings, stats: Stats) -> None:
        self._settings = settings
        self._stats = stats
        script = load_script(settings.script_path) if settings.script_path is not None else []
        self._script = [*script, *read_script(list(settings.script), where="script")]
        check_rates(settings.faults)
        self.reset()

    def reset(self) -> None:
        settings = self._settings
        self.faults = Faults(rates=settings.faults, script=self._script)
        self.set_limits(
            LimitSpec(
                rules=[*_limit_of(settings), *settings.limits],
                burst_s=settings.burst_s,
                concurrency_limit=settings.concurrency_limit,
                batch_queue=settings.batch_queue,
            )
        )

    def _look(self) -> None:
        self.open = not (
            self.faults or self.limits or self.limit_spec.concurrency_limit
        )  # whether nothing can happen to a request

    def set_faults(self, spec: FaultSpec) -> None:
        check_rates(spec.rates)
        self.faults = Faults(rates=spec.rates, script=read_script(spec.script, where="script"))
        self._look()

    def fault_spec(self) -> FaultSpec:
        return FaultSpec(rates=dict(self.faults.rates), script=list(self.faults.script))

    def set_limits(self, spec: LimitSpec) -> None:
        self.limits = Limits(spec.rules, burst_s=spec.burst_s)
        self.limit_spec = spec
        self._look()

    def admit(self, call: Call, need: Need) -> None:
        """Take what the request needs, or refuse it as the provider would."""
        call.need = need
        limit = self.limit_spec.concurrency_limit
        if limit is not None and self._stats.in_flight > limit:
            self._stats.limited["concurrency"] += 1
            raise ApiError(529, "overloaded_error", "Overloaded")
        refusal = self.limits.admit(need, now=call.now) if self.limits else None
        if refusal is not None:
            self._stats.limited[refusal.limit] += 1
            raise ApiError(
                429,
                "rate_limit_error",
                f"This request would exceed your rate limit of {refusal.per_minute:,} {refusal.limit} per minute",
                retry_after=str(math.ceil(refusal.wait_s)),
            )

    def meet(self, call: Call, subject: Subject, *, stream: bool = False) -> ServerReply | None:
        """Give a call its fault. What is said instead of doing what was asked is returned or raised."""
        call.fault = fault = self.draw(subject)
        if fault.headers:
            call.fields += field_lines(fault.headers)
        if fault.fault == "stream-error" and not stream:
            fault = Fault(fault="529", delay_s=fault.delay_s)
        error = error_of(fault, wall=call.wall)
        if fault.is_own_reply:
            status, content_type, body = own_reply(fault, status=error.status if error else 200)
            return ServerReply(status=status, content_type=content_type, body=body)
        if error is not None:
            error.delay_s = fault.delay_s
            raise error
        return None

    def draw(self, subject: Subject) -> Fault:
        fault = self.faults.next(subject)
        if fault.fault != OK:
            self._stats.faults[fault.fault] += 1
        elif fault.is_own_reply:
            self._stats.faults["scripted"] += 1
        return fault

    def chance(self, key: str) -> float:
        """For a request that is no message: a number that depends on the seed, and on how often this was asked."""
        return draws(self._settings.seed, f"{key} {self._stats.meet(key)}").fault

    def fields(self, call: Call) -> bytes:
        """The header lines of every reply to this call."""
        fields = b"request-id: %b\r\n%b" % (call.request_id.encode(), call.fields)
        if not self.limits:
            return fields
        need = call.need or Need(endpoint=call.endpoint.name)
        return fields + self.limits.fields(need, now=call.now, wall=call.wall)


def _limit_of(settings: ServerSettings) -> Sequence[LimitRule]:
    """The limits for messages that have options of their own."""
    rule = LimitRule(
        requests_per_minute=settings.requests_per_minute,
        input_tokens_per_minute=settings.input_tokens_per_minute,
        output_tokens_per_minute=settings.output_tokens_per_minute,
    )
    return () if rule == LimitRule() else (rule,)
