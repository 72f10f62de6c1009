"""Judges one box after everything in it is dead.

What the submission left behind is compared with values that the grader computed itself.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from grader.experiment_profiler.boxes.box import Kind, Source
from grader.experiment_profiler.boxes.steps import questions, steps
from grader.experiment_profiler.boxes.wire import question
from grader.experiment_profiler.judging import artifacts, strict
from grader.experiment_profiler.judging.reasons import REASONS
from grader.experiment_profiler.judging.sheet import Sheet
from grader.experiment_profiler.judging.strict import BadArtifact, is_number, quoted, same
from grader.experiment_profiler.worlds import truth
from grader.experiment_profiler.worlds.manifests import ALWAYS
from grader.experiment_profiler.worlds.marks import live_message
from grader.experiment_profiler.worlds.replies import ANY_LATENCY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grader.experiment_profiler.boxes.box import Box, Run, Step
    from grader.experiment_profiler.judging.verdict import Finding
    from grader.experiment_profiler.worlds.foreign_logs import Logs
    from task_kit.sandbox import Outcome

TOLERANCE: Final = 1e-3
PLANS: Final = {
    Kind.API: ("limits", "interface", "config", "client", "summarize"),
    Kind.RUN: ("limits", "interface"),
    Kind.SUMMARIZE: ("limits", "interface", "summarize"),
}
OF_A_RUN: Final = {
    Source.PREPARED: ("files", "dialogues", "order", "requests", "responses", "coverage", "refusal", "metrics"),
    Source.HANDED: ("files", "dialogues", "order", "requests", "responses", "metrics"),
    Source.LIVE: ("client", "files", "dialogues", "order", "requests", "responses", "metrics"),
}
ADDRESS: Final = re.compile(r"0x[0-9a-f]+")  # addresses of objects, which differ each time


class Sheets:
    """One sheet for the process, and one for each run in it."""

    def __init__(self, box: Box) -> None:
        self.process = Sheet(box.name, PLANS[box.kind])
        self.runs = {run.name: Sheet(_where(box, run), OF_A_RUN[run.source]) for run in box.runs}

    def findings(self) -> list[Finding]:
        return [finding for sheet in (self.process, *self.runs.values()) for finding in sheet.findings()]


def _where(box: Box, run: Run) -> str:
    return f"{box.name}: {run.name}" if box.kind is Kind.API else f"{box.name}"


def not_run(box: Box) -> list[Finding]:
    """The findings of a box that was not run, or whose outcome no longer counts."""
    return Sheets(box).findings()


def judge(box: Box, outcome: Outcome, *, seed: str, asked: Mapping[str, int] | None = None) -> list[Finding]:
    """`asked`: how often each question was put to the live client, if that was counted outside of the box."""
    sheets = Sheets(box)
    process = sheets.process
    if outcome.reason is not None:
        process.fail(outcome.reason, REASONS[outcome.reason].sentence)
        return sheets.findings()
    process.made("limits")
    if outcome.leftover:
        process.fail("leftover_process", REASONS["leftover_process"].sentence)
    match box.kind:
        case Kind.API:
            _api(sheets, box, outcome, seed=seed)
        case Kind.RUN:
            if _exited_well(process, outcome):
                (run,) = box.runs
                _run(sheets.runs[run.name], box, run)
        case Kind.SUMMARIZE:
            if _exited_well(process, outcome):
                (logs,) = box.logs
                _summarized(process, box, logs)
    if asked is not None and not any(finding.reason for finding in sheets.findings()):
        _asked(sheets, box, seed=seed, asked=asked)
    return sheets.findings()


def _asked(sheets: Sheets, box: Box, *, seed: str, asked: Mapping[str, int]) -> None:
    """Each dialogue is one request, and only one that failed may be made again. What failed otherwise explains why
    something was not asked, so this is looked at last."""
    sheet = sheets.process if box.kind is Kind.API else next(iter(sheets.runs.values()))
    expected = Counter(map(question, questions(box, seed)))
    failing = {question(each) for each in questions(box, seed) if live_message(box.secrets.live, **each)["error"]}
    again = sum(number > expected[each] and each not in failing for each, number in asked.items() if each in expected)
    strange = sum(each not in expected for each in asked)
    never = sum(asked.get(each, 0) < number for each, number in expected.items())
    if again or strange or never:
        said = f"of {len(expected)} questions {never} were not asked, {again} too often; {strange} others were asked"
        sheet.fail("client_choice", f"live requests: {said}")


def _exited_well(sheet: Sheet, outcome: Outcome) -> bool:
    if outcome.signal is not None:
        sheet.fail("exit_status", f"ended by signal {outcome.signal}")
    elif outcome.exit_code != 0:
        sheet.fail("exit_status", f"exited with {outcome.exit_code}, expected 0")
    else:
        sheet.made("interface")
    return outcome.exit_code == 0


# --- through the interface ------------------------------------------------------------------------------------------


def _api(sheets: Sheets, box: Box, outcome: Outcome, *, seed: str) -> None:
    claims = _claims(sheets.process, box)
    if claims is None or not _exited_well(sheets.process, outcome):
        return
    runs = {f"ExperimentRunner.run, {run.name}": run for run in box.runs}
    for step in steps(box, seed):
        told = _told(sheets.process, box, step, claims)
        if step.name in runs:
            run = runs[step.name]
            _run(sheets.runs[run.name], box, run)
            if told is not None:
                _location(sheets.runs[run.name], box, run, _object(told))
                _compare(
                    sheets.runs[run.name],
                    "metric_mismatch",
                    "result.metrics",
                    found=_object(told).get("metrics"),
                    expected=step.expected,
                )
                _own(sheets.process, run, _object(told))
        elif told is not None:
            _CALLS[step.does](sheets.process, step, told)
    for logs in box.logs:
        _logs_unchanged(sheets.process, box, logs)


def _claims(sheet: Sheet, box: Box) -> dict[str, Any] | None:
    """What the driver wrote, or None with the reason on the sheet if it did not finish."""
    try:
        return strict.load(strict.read(box.work, box.claims), "what the interface told", limit=strict.FILE_LIMIT)
    except BadArtifact as error:
        said = "the process ended before the interface was called" if error.reason == "missing_artifact" else error.said
        sheet.fail("interface", said.replace(box.claims, "what the interface told"))
        return None


def _told(sheet: Sheet, box: Box, step: Step, claims: Mapping[str, Any]) -> Any:
    """What a step reported, or None with the reason on the sheet if it raised."""
    claim = _object(claims.get(step.name))
    if (told := claim.get("told")) is not None:
        sheet.made("interface")
        return told
    sheet.fail("interface", f"{step.name} raised {_error(claim.get('error'), box)}")
    if step.does in _RAISED:
        sheet.fail(_RAISED[step.does], f"{step.name} raised an error")
    return None


def _error(error: object, box: Box) -> str:
    """The error of the submission, without random names of folders and addresses of objects."""
    return ascii(ADDRESS.sub("0x…", str(error).replace(str(box.folder), ""))[:200])


def _config(sheet: Sheet, step: Step, told: Any) -> None:
    found = _object(told)
    sheet.made("config")
    for name, expected in step.expected.items():
        if name.endswith("_path"):
            if not _is_path(found.get(name), expected):
                sheet.fail("config", f"{name} is not the absolute path of the file that the manifest names")
        elif not same(found.get(name), expected):
            sheet.fail("config", f"{name} is not what the manifest says")


def _is_path(found: object, expected: str) -> bool:
    return type(found) is str and os.path.normpath(found) == expected


def _client(sheet: Sheet, step: Step, told: Any) -> None:
    sheet.made("client")
    answers = told if type(told) is list and len(told) == len(step.expected) else [None] * len(step.expected)
    for found, expected in zip(answers, step.expected, strict=True):
        if not _same_answer(found, expected):
            sheet.fail("client_choice", f"{step.name}: the client does not answer as it should")


def _same_answer(found: Any, expected: Any) -> bool:
    if not isinstance(expected, dict) or not isinstance(found, dict):
        return same(found, expected)
    latency = found.get("latency_s")
    return all(
        artifacts.right(latency, value) if value is ANY_LATENCY else same(found.get(name), value)
        for name, value in expected.items()
    )


def _summary_told(sheet: Sheet, step: Step, told: Any) -> None:
    sheet.made("summarize")
    _compare(sheet, "summarize_mismatch", step.name, found=told, expected=step.expected, required=True)


_RAISED: Final = {"config": "config", "client": "client_choice", "summarize": "summarize_mismatch"}
_CALLS: Final = {"config": _config, "client": _client, "summarize": _summary_told}


def _own(sheet: Sheet, run: Run, told: Mapping[str, Any]) -> None:
    """Check what summarize says of the run that was just made."""
    sheet.made("summarize")
    own = f"of its own {run.name}"
    _compare(sheet, "summarize_mismatch", own, found=told.get("own"), expected=run.all_metrics, required=True)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _location(sheet: Sheet, box: Box, run: Run, told: Mapping[str, Any]) -> None:
    folder = box.work / run.folder
    expected = {"output_dir": folder} | {
        f"{name}_path": folder / file
        for name, file in zip(("requests", "responses", "summary"), artifacts.NAMES, strict=True)
    }
    found = _object(told.get("artifacts"))
    for name, path in expected.items():
        claimed = found.get(name)
        if type(claimed) is not str or os.path.normpath(box.work / claimed) != str(path):
            sheet.fail(
                "wrong_location", f"artifacts.{name} is not OUTPUT_DIR/EXPERIMENT_ID{str(path)[len(str(folder)) :]}"
            )


# --- what is on disk ------------------------------------------------------------------------------------------------


def _run(sheet: Sheet, box: Box, run: Run) -> None:
    summary = artifacts.check(sheet, box, run)
    if summary is None:
        return
    sheet.made("metrics")
    _compare(sheet, "metric_mismatch", "summary.json", found=summary, expected=run.metrics)
    _header(
        sheet, "metric_mismatch", summary, experiment_id=run.world.experiment_id, dialogues=len(run.world.dialogues)
    )


def _header(sheet: Sheet, reason: str, summary: Mapping[str, Any], **expected: object) -> None:
    for name, value in expected.items():
        if not same(summary.get(name), value):
            sheet.fail(reason, f"summary.json: {name} is {quoted(summary.get(name))}, not {quoted(value)}")


def _summarized(sheet: Sheet, box: Box, logs: Logs) -> None:
    name = f"{box.logs_dir(logs)}/{artifacts.NAMES[2]}"
    sheet.made("summarize")
    _logs_unchanged(sheet, box, logs)
    try:
        summary = strict.load(strict.read(box.work, name), "summary.json")
    except BadArtifact as error:
        sheet.fail("summarize_mismatch", error.said.replace(name, "summary.json"))
        return
    expected = truth.metrics_of(logs)
    _compare(sheet, "summarize_mismatch", "summary.json", found=summary, expected=expected, required=True)
    _header(sheet, "summarize_mismatch", summary, experiment_id=logs.folder, dialogues=len(logs.requests))


def _logs_unchanged(sheet: Sheet, box: Box, logs: Logs) -> None:
    files = logs.files()
    for name in artifacts.NAMES[:2]:
        try:
            unchanged = strict.read(box.work, f"{box.logs_dir(logs)}/{name}") == files[name]
        except BadArtifact:
            unchanged = False
        if not unchanged:
            sheet.fail("summarize_mismatch", f"{name}, which was only to be read, is not what it was")


def _compare(
    sheet: Sheet,
    reason: str,
    what: str,
    *,
    found: object,
    expected: Mapping[str, float | None],
    required: bool = False,
) -> None:
    """Compare metrics: every one that must be there, and every one that is there, must be right.

    With `required` only the three metrics that every summary has must be there; `completion_rate` may be missing.
    """
    values = _object(found)
    for name, value in expected.items():
        if required and name not in values and name not in ALWAYS:
            continue
        if not _near(values.get(name, "nothing"), value):
            shown = "null" if value is None else f"{value:.4f}"
            sheet.fail(reason, f"{what}: {name} is {quoted(values.get(name, 'nothing'))}, not {shown}")


def _near(found: object, expected: float | None) -> bool:
    if expected is None:
        return found is None
    return is_number(found) and abs(found - expected) <= TOLERANCE
