"""How long a provider asks to be left alone: `retry-after-ms` and `retry-after` headers in, seconds out.

Comes in: the headers of one reply, names in lower case. Goes out: seconds from now, or None when nothing
legible was asked. Knows nothing of what is done with them.
"""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_S = 3600.0  # whoever asks for more is not waited for: the deadline of a dialogue is the better judge


def retry_after_s(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """What was asked for, between nothing (the moment has passed) and `LONGEST_S`."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000.0)
    asked = headers.get("retry-after")
    seconds = _number(asked)
    if seconds is None:
        moment = _moment(asked)
        if moment is None:
            return None
        # against the provider's own clock where it tells it, so that ours may be wrong
        base = _moment(headers.get("date"))
        seconds = moment - (base if base is not None else time.time() if now is None else now)
    return _bounded(seconds)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_S)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _moment(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError, IndexError):
        return None
