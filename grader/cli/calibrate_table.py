"""The tables of a calibration: how hard the task is, how sure that is, why episodes fail, the controls, the threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grader.cli.run_table import caption
from grader.leakage_modeling.calibration.band import BAND
from profiler.cli.table import NOTHING, Row, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grader.leakage_modeling.calibration.calibrate import Calibration, Rate, Threshold
    from grader.leakage_modeling.calibration.intervals import Interval
    from grader.leakage_modeling.grading.folder import Run


def tables(asked_for: Run, found: Calibration, threshold: Threshold | str) -> list[Table]:
    return [
        Table(
            title=f"Calibration ({asked_for.model if asked_for.mode == 'agent' else 'local policy'})",
            caption=caption(asked_for),
            header=("", "found"),
            rows=tuple(_rows(found)),
            notes=tuple(_notes(found, threshold)),
        ),
        Table(
            title="Controls on the same seeds",
            caption="the oracle should pass, nobody else",
            header=("policy", "passed", "rate", "exact 95% interval"),
            rows=tuple((name, *_rate(rate)) for name, rate in found.controls.items()),
        ),
    ]


def _rows(found: Calibration) -> Iterator[Row]:
    yield "asked, started, graded, excluded", f"{found.asked}, {found.started}, {found.graded}, {found.excluded}"
    yield "passed", f"{found.rate.passed} of {found.rate.episodes} ({_percent(found.rate.rate)})"
    yield "Wilson 95% interval", _interval(found.rate.wilson)
    yield "exact 95% interval", _interval(found.rate.clopper_pearson)
    yield f"P({BAND.low:.2f} <= p <= {BAND.high:.2f})", f"{found.in_band:.3f}"
    yield "verdict", found.verdict
    yield "look, error it may have", f"{found.look}, {found.error:.1%}"
    yield "worlds, design effect", f"{found.seeds}, {found.design_effect:.2f}"
    yield "decided by the world", _percent(found.seed_share)
    for name, powers in (("pass@k", found.pass_at), ("pass^k", found.pass_all)):
        yield name, ", ".join(f"{k}: {_percent(value)}" for k, value in powers.items() if value is not None) or NOTHING
    yield "failures", ", ".join(f"{reason} {count}" for reason, count in found.reasons.items()) or NOTHING
    yield "near misses", str(found.near_misses)


def _notes(found: Calibration, threshold: Threshold | str) -> Iterator[str]:
    if found.verdict == "undecided":
        yield _more(found)
    yield f"no outcome of fewer than {found.fewest_that_certify} independent episodes can certify the band"
    if isinstance(threshold, str):
        yield f"no threshold is recommended: {threshold}"
        return
    yield (
        f"threshold {threshold.value:.4f}: passed {_of(threshold.found_on)} of the episodes it was found on and "
        f"{_of(threshold.verified_on)} of those it was tried on ({threshold.verdict}); the oracle {_of(threshold.oracle)}"
    )


def _more(found: Calibration) -> str:
    if found.more_needed is None:
        return "the rate looks like an edge of the band: no number of episodes would tell"
    return f"about {found.more_needed:,} more episodes would probably tell"


def _rate(rate: Rate) -> tuple[str, str, str]:
    return _of(rate), _percent(rate.rate), _interval(rate.clopper_pearson)


def _of(rate: Rate) -> str:
    return f"{rate.passed}/{rate.episodes}"


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def _interval(interval: Interval) -> str:
    return f"{interval.low:.3f} .. {interval.high:.3f}"
