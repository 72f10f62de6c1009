"""What workers and the broker say to each other, as JSON.

Times are spans, counted from when a message is written: the clocks of two machines need not agree. Amounts of money are
pico-dollars.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from profiler.core.errors import CallError

RENAMED = "+"  # at the end of the name under which a worker goes on that was given up
RENEW_S = 1.0  # between two messages of a worker, unless it wants something sooner


OF_AN_ERROR = (
    "kind",
    "message",
    "status",
    "retryable",
    "retry_after_s",
    "ramp",
    "sent",
)  # what the broker need know of one


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """One amount for each of the provider's three limits a minute."""

    requests: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0


class SeenLimit(msgspec.Struct, frozen=True, kw_only=True):
    """What the headers of a reply said, and how long ago it came."""

    limit: float
    remaining: float
    age_s: float


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A call that failed, or a dialogue that ended with a failure.

    `answered_before` counts the answers since the event before this one. `unexplained` is a refusal for which all known
    limits had room; `named` are the limits that its headers name. `ago_s` says how long ago the call left.
    """

    of: Literal["call", "dialogue"]
    kind: str
    message: str
    status: int | None = None
    retryable: bool = False
    retry_after_s: float | None = None
    ramp: bool = False
    sent: bool = True
    unexplained: bool = False
    named: tuple[str, ...] = ()
    ago_s: float = 0.0
    answered_before: int = 0

    @property
    def error(self) -> CallError:
        return CallError(**{name: getattr(self, name) for name in OF_AN_ERROR})


class MoneyUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker has spent since it began, or may have, and what it wants.

    `bound` is the most that `billed` and what it has set aside will come to before the answer is there: what was granted,
    or less, when the worker gives something back. `more` is what it would like besides, `least` what it needs for a single
    call. `candidates` are the folders it writes to, each with what counts no more of what that folder tells, and `before` is
    what the worker has spent in other folders: from these the broker can tell what a lost worker has spent.
    """

    billed: int = 0
    bound: int = 0
    more: int = 0
    least: int = 0
    candidates: dict[str, int] = msgspec.field(name="attempts", default_factory=dict)
    before: int = 0


class Renewal(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker tells about once a second, to go on.

    `used` counts from the beginning of the worker. `answered` counts what came after the last event; events and answers
    are those since the last message that was answered. A message that got no answer is sent again, with what is `used` and
    `in_flight` by then; whoever has answered it before answers the same.
    """

    who: str
    seq: int
    used: Amounts = Amounts()
    headers: dict[str, SeenLimit] = {}
    events: tuple[Event, ...] = ()
    answered: int = 0
    in_flight: Amounts = Amounts()
    holds: int = 0  # slots that it has, whichever broker lent them
    saturated: bool = False  # all its slots were in use
    undecided: bool = False  # calls that left before the last refused one have not ended
    holds_max_tokens: bool = False  # it found out that the provider counts them while a call lasts
    want: Amounts = Amounts()
    one_call: Amounts = Amounts(requests=1.0)
    want_slots: int = 0
    money: MoneyUse | None = None
    leaves: bool = False  # for good: everything it had is free again


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """Why no call can succeed any more."""

    message: str
    hint: str | None = None


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker may use until it renews, and for no longer than `expires_s` after it wrote its message.

    An amount that is None has no limit. If `spread_s` is not 0 the amounts are to last that long. `money` is a bound like
    that of the message; None means that the broker keeps no cap. `share` is what the worker may use each minute when it cannot
    reach the broker.
    """

    seq: int
    expires_s: float
    requests: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    spread_s: float = 0.0
    slots: int = 0
    money: int | None = None
    money_may_come: bool = True
    pause_s: float = 0.0
    pause_asked: bool = False
    stop: Stop | None = None
    outage: str | None = None
    answered_any: bool = False
    holds_max_tokens: bool = False
    per_minute: dict[str, float] = {}
    share: dict[str, float] = {}
    lost: bool = False  # the worker was given up; it goes on under another name, with nothing


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody saw this worker end, so nothing of it can still leave."""

    who: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    renewal: Renewal | None = None
    gone: Gone | None = None


def in_envelope(message: Renewal | Gone) -> Envelope:
    return Envelope(renewal=message) if isinstance(message, Renewal) else Envelope(gone=message)


decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_lease = msgspec.json.Decoder(Lease).decode
