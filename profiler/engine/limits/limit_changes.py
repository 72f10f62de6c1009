"""The limits of a run as they became known, for the summary."""

from __future__ import annotations

from typing import Literal

import msgspec

KEPT_CHANGES = 100


class LimitChange(msgspec.Struct, frozen=True):
    """A limit, and where it is known from: the manifest, reply headers or refusals. `at_s` counts from the start."""

    at_s: float
    limit: str
    per_minute: float
    told_by: str


class LimitChanges(list[LimitChange]):
    """The first hundred of them; `began` is the start of the run."""

    def __init__(self, *, began: float) -> None:
        super().__init__()
        self._began = began

    def note(
        self, name: str, per_minute: float, *, told_by: Literal["manifest", "headers", "refusals"], now: float
    ) -> None:
        if len(self) < KEPT_CHANGES:
            self.append(LimitChange(round(now - self._began, 3), name, round(per_minute, 3), told_by))
