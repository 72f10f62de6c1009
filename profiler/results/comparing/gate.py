"""Whether a change may pass: `--fail-if-worse METRIC[:MARGIN]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from profiler.results.comparing.corrections import holm_of_known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from profiler.results.comparing.comparison import Measured

ONE_SIDED: Final = 0.025  # as the two-sided level of 5 % has it on each side

State = Literal["worse", "not worse", "undecided"]


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """`worse`: shown to be worse by more than the margin; `not worse`: shown not to be; else undecided."""

    metric: str
    run: str
    margin: float
    state: State
    p_worse: float | None
    p_not_worse: float | None


def gates(measured: Sequence[tuple[str, Measured]], *, margins: Mapping[str, float]) -> list[Gate]:
    """`measured`: by run. Corrected by how many gates there are (Holm)."""
    asked = [(run, each) for run, each in measured if each.metric in margins]
    worse = [_p(each, margins[each.metric], worse=True) for _, each in asked]
    fine = [_p(each, margins[each.metric], worse=False) for _, each in asked]
    return [
        Gate(
            metric=each.metric,
            run=run,
            margin=margins[each.metric],
            state=_state(each, p_worse, p_fine),
            p_worse=p_worse,
            p_not_worse=p_fine,
        )
        for (run, each), p_worse, p_fine in zip(asked, holm_of_known(worse), holm_of_known(fine), strict=True)
    ]


def _p(measured: Measured, margin: float, *, worse: bool) -> float | None:
    test = measured.test
    if test is None:
        return None
    if measured.sign > 0:
        return test.p_at_least(-margin) if worse else test.p_at_most(-margin)
    return test.p_at_most(margin) if worse else test.p_at_least(margin)


def _state(measured: Measured, p_worse: float | None, p_fine: float | None) -> State:
    if p_worse is not None and p_worse <= ONE_SIDED:
        return "worse"
    if (measured.n and measured.identical) or (p_fine is not None and p_fine <= ONE_SIDED):
        return "not worse"
    return "undecided"
