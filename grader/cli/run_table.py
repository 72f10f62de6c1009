"""Shows a run: tables of results, and one episode step by step."""

from __future__ import annotations

from collections import Counter
from statistics import fmean
from typing import TYPE_CHECKING, Any

from grader.leakage_modeling.calibration.intervals import Tally, wilson
from grader.leakage_modeling.grading.episodes import ORACLE
from profiler.cli.table import NOTHING, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from grader.leakage_modeling.grading.folder import EpisodeResult, Run
    from grader.leakage_modeling.grading.regrade import Regraded
    from task_kit.leakage_modeling.agents.transcript import Step, Story

MOST_ERRORS = 3  # episodes with an error whose sentence is shown
MOCK = "MODE: MOCK - scripted agents, no model was called"
LOCAL = "MODE: LOCAL - policies in the worker, no model was called"
LIVE = "MODE: LIVE - the agent is a model, called over the API"


def banner(run: Run) -> str:
    if run.mode == "local":
        return LOCAL
    return f"{LIVE} ({run.model})" if run.live else MOCK


def caption(run: Run) -> str:
    settings = run.settings
    rule = "legacy rule of the public original" if settings.grading == "legacy-threshold" else "regret"
    family = f", families {settings.family}" if settings.difficulty else ""
    return f"{banner(run)}; difficulty {settings.difficulty}{family}, {rule}, isolation {run.isolation}"


def by_agent(run: Run, results: Sequence[EpisodeResult]) -> Table:
    """One row for each policy, over the same worlds."""
    names = dict.fromkeys(result.agent for result in results)
    return Table(
        title=f"Local policies ({run.runs} worlds)",
        caption=caption(run),
        header=("policy", "passed", "AUROC", "regret", "miscal.", "moved", "verdict", "first reason"),
        rows=tuple(_agent_row(name, [one for one in results if one.agent == name]) for name in names),
        notes=(
            "regret: 0 knows P(y|x), 1 knows the prevalence",
            "miscal.: how far rows that are predicted alike lie from their true probability, mean square, on the same scale",
            "moved: farthest that a prediction moved when a forbidden column was overwritten",
        ),
    )


def by_episode(run: Run, results: Sequence[EpisodeResult]) -> Table:
    return Table(
        title=f"Episodes ({len(results)} of {run.runs})" if run.mode == "agent" else f"Episodes ({len(results)})",
        caption=caption(run),
        header=("episode", "verdict", "reason", "AUROC", "regret", "miscal.", "moved", "steps", "tokens out"),
        rows=tuple(_episode_row(result) for result in results),
        notes=tuple(notes(run, results)),
    )


def notes(run: Run, results: Sequence[EpisodeResult]) -> Iterator[str]:
    """The counts that belong beside every pass rate."""
    graded = [one for one in results if one.status != "error"]
    passed = sum(one.status == "pass" for one in graded)
    low, high = wilson(Tally(passed, len(graded)))
    rate = f"{passed / len(graded):.0%}" if graded else "no rate"
    yield (
        f"asked {run.runs}, played {len(results)}, graded {len(graded)}, excluded {len(results) - len(graded)}; "
        f"passed {passed} ({rate}, 95 % interval {low:.0%} to {high:.0%})"
    )
    reasons = Counter(one.reason for one in results if one.reason is not None)
    if reasons:
        yield "reasons: " + ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    yield from (
        f"{one.episode}: {one.sentence}" for one in [one for one in results if one.status == "error"][:MOST_ERRORS]
    )
    costs = [one.cost_usd for one in results]
    if run.live:
        known = [cost for cost in costs if cost is not None]
        yield f"cost ${sum(known):.4f}" if len(known) == len(costs) else "cost unknown"


def regraded_table(run: Run, found: Sequence[Regraded]) -> Table:
    return Table(
        title=f"Regraded ({len(found)} episodes)",
        caption=caption(run),
        header=("episode", "stored", "again"),
        rows=tuple(
            (
                one.stored.episode,
                _verdict(one.stored),
                "the same" if one.differs is None and one.judged else one.differs or "nothing to judge",
            )
            for one in found
        ),
    )


def told(story: Story | None, result: EpisodeResult) -> str:
    """One episode from the prompt to the verdict. If no tool was called there is only the verdict."""
    return "\n".join(_lines(story, result)) + "\n"


def _lines(story: Story | None, result: EpisodeResult) -> Iterator[str]:
    model = f"   model {story.head['agent']['model_name']}" if story else ""
    yield f"episode {result.episode}   agent {result.agent}{model}"
    for step in story.steps if story else ():
        yield from _step_lines(step)
    yield ""
    yield f"{result.status.upper()}{f' ({result.reason})' if result.reason else ''}: {result.sentence}"
    for check in result.checks:
        yield f"  {'ok  ' if check['passed'] else 'FAIL'}  {check['name']}: {check['detail']}"
    for name, value in result.scores.items():
        yield f"  {name}: {_plain(value)}"


def _step_lines(step: Step) -> Iterator[str]:
    metrics = step.metrics
    tokens = f"   {metrics.prompt_tokens} tokens in, {metrics.completion_tokens} out" if metrics else ""
    stopped = step.extra.get("stop_reason")
    yield ""
    yield f"--- step {step.step_id}: {step.source}{tokens}{f'   {stopped}' if stopped else ''}"
    if step.reasoning_content:
        yield from _indented(step.reasoning_content, "  ~ ")
    if step.message:
        yield from _indented(step.message, "  ")
    answers = {one.source_call_id: one.content for one in step.observation.results} if step.observation else {}
    for call in step.tool_calls:
        yield f"  {call.function_name}"
        yield from _indented(_arguments(call.arguments), "  >>> ")
        yield from _indented(answers.get(call.tool_call_id, NOTHING), "      ")


def _arguments(given: dict[str, Any]) -> str:
    code = given.get("expression")
    return code if isinstance(code, str) else ", ".join(f"{name} = {value!r}" for name, value in given.items())


def _indented(text: str, prefix: str) -> Iterator[str]:
    return (f"{prefix}{line}".rstrip() for line in text.split("\n"))


def _agent_row(name: str, results: Sequence[EpisodeResult]) -> tuple[str, ...]:
    passed = sum(one.status == "pass" for one in results)
    reasons = Counter(one.reason for one in results if one.reason is not None).most_common(1)
    verdict = "pass" if passed == len(results) else "fail" if not passed else "mixed"
    return (
        name if name != ORACLE else f"{name} (knows the law)",
        f"{passed}/{len(results)}",
        _mean(results, "auroc"),
        _mean(results, "regret"),
        _mean(results, "miscalibration"),
        _most(results),
        verdict,
        reasons[0][0] if reasons else NOTHING,
    )


def _episode_row(result: EpisodeResult) -> tuple[str, ...]:
    one = [result]
    numbers = (_mean(one, "auroc"), _mean(one, "regret"), _mean(one, "miscalibration"), _most(one))
    spent = (str(result.steps), f"{result.output_tokens:,}")
    return (result.episode, result.status, result.reason or NOTHING, *numbers, *spent)


def _verdict(result: EpisodeResult) -> str:
    return f"{result.status} ({result.reason})" if result.reason else result.status


def _mean(results: Iterable[EpisodeResult], name: str) -> str:
    values = [one.scores[name] for one in results if one.scores.get(name) is not None]
    return f"{fmean(values):.3f}" if values else NOTHING


def _most(results: Iterable[EpisodeResult]) -> str:
    moved = [max(one.scores["movement"].values(), default=0.0) for one in results if "movement" in one.scores]
    return f"{max(moved):.1g}" if moved else NOTHING


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
