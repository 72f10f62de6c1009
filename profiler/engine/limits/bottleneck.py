"""What kept a live run from going faster, in a few words.

Comes in: how long it took, how long calls stood in line and for what, how full the limits were, how it ended. Goes out:
one phrase such as "output tokens 92 %". Reads no clock and counts nothing itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORTH_TELLING = 0.1  # of the time: less did not bind a run
FEW = 0.1  # of the calls at once: more than these at the end are the last round, not stragglers


def words(reason: str) -> str:
    return "retry-after" if reason == "retry_after" else reason.replace("_", " ")


def phrase(
    *,
    elapsed_s: float,
    waited_s: Mapping[str, float],
    in_use: Mapping[str, float],
    slots: int,
    ended: Sequence[float],
) -> str:
    """`ended`: seconds after the last dialogue was begun at which workers had nothing left to do."""
    tail_s = max(ended, default=0.0)
    late = sum(each > tail_s / 2 for each in ended)
    reasons = [(seconds, _line(reason, seconds, in_use)) for reason, seconds in waited_s.items()]
    if 0 < late <= max(1.0, slots * FEW):
        reasons.append((tail_s, f"{late} straggler{'s' if late != 1 else ''}"))
    seconds, found = max(reasons, default=(0.0, ""))
    if seconds > elapsed_s * WORTH_TELLING:
        return found
    return f"{slots:,} call{'s' if slots != 1 else ''} at once"


def _line(reason: str, seconds: float, in_use: Mapping[str, float]) -> str:
    """A limit is told by how full it was, a pause by how long it was in all."""
    return percent(reason, in_use[reason]) if reason in in_use else f"{words(reason)} {seconds:.0f} s"


def percent(limit: str, share: float) -> str:
    return f"{words(limit)} {min(share, 1.0) * 100:.0f} %"
