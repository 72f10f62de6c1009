"""The verdict on a submission, as plain values. The first check that failed is its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    passed: bool
    detail: str
    reason: str | None = None  # the code when it failed, if that is more exact than the name


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    status: Literal["pass", "fail", "error"]
    reason: str | None
    sentence: str
    checks: tuple[Check, ...]
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def reward(self) -> float:
        return float(self.status == "pass")

    @property
    def only_score_failed(self) -> bool:
        """Whether all checks but the score held, so that a threshold alone decides."""
        return bool(self.scores) and all(check.passed for check in self.checks if check.name != "score")


def conclude(checks: Sequence[Check], *, scores: dict[str, Any], praise: str) -> Verdict:
    failed = next((check for check in checks if not check.passed), None)
    if failed is None:
        return Verdict(status="pass", reason=None, sentence=praise, checks=tuple(checks), scores=scores)
    return Verdict(
        status="fail",
        reason=failed.reason or failed.name,
        sentence=failed.detail,
        checks=tuple(checks),
        scores=scores,
    )
