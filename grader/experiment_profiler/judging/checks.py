"""What is checked of one box after everything in it is dead.

Comes in: a box and how its process ended. Goes out: findings. What the submission left behind is compared with values
that the grader computed itself. Knows nothing of how boxes are run.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from grader.experiment_profiler.boxes.layout import CLAIMS, Kind
from grader.experiment_profiler.judging import artifacts, strict
from grader.experiment_profiler.judging.reasons import CHECKS, REASONS
from grader.experiment_profiler.judging.sheet import Sheet
from grader.experiment_profiler.judging.strict import BadArtifact, is_number, quoted, same
from grader.experiment_profiler.worlds import truth
from grader.experiment_profiler.worlds.world import ALWAYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grader.experiment_profiler.boxes.layout import Box
    from grader.experiment_profiler.judging.verdict import Finding
    from task_kit.sandbox import Outcome

TOLERANCE: Final = 1e-3
PLANS: Final = {
    Kind.API: tuple(check for check in CHECKS if check != "submission"),
    Kind.RUN: tuple(check for check in CHECKS if check not in {"submission", "config", "client", "summarize"}),
    Kind.SUMMARIZE: ("limits", "interface", "summarize"),
}


def not_run(box: Box) -> list[Finding]:
    """The findings of a box that was never run, or whose outcome no longer counts."""
    return list(Sheet(box.name, PLANS[box.kind]).findings())


def judge(box: Box, outcome: Outcome) -> list[Finding]:
    sheet = Sheet(box.name, PLANS[box.kind])
    if outcome.reason is not None:
        sheet.fail(outcome.reason, REASONS[outcome.reason].sentence)
        return list(sheet.findings())
    sheet.made("limits")
    if outcome.leftover:
        sheet.fail("leftover_process", REASONS["leftover_process"].sentence)
    match box.kind:
        case Kind.API:
            _api(sheet, box, outcome)
        case Kind.RUN:
            if _exited_well(sheet, outcome):
                _run(sheet, box)
        case Kind.SUMMARIZE:
            if _exited_well(sheet, outcome):
                _summarized(sheet, box)
    return list(sheet.findings())


def _exited_well(sheet: Sheet, outcome: Outcome) -> bool:
    if outcome.signal is not None:
        sheet.fail("exit_status", f"ended by signal {outcome.signal}")
    elif outcome.exit_code != 0:
        sheet.fail("exit_status", f"exited with {outcome.exit_code}, expected 0")
    else:
        sheet.made("interface")
    return outcome.exit_code == 0


# --- through the interface ------------------------------------------------------------------------------------------


def _api(sheet: Sheet, box: Box, outcome: Outcome) -> None:
    claims = _claims(sheet, box)
    if claims is None or not _exited_well(sheet, outcome):
        return
    _config(sheet, box, claims)
    _client(sheet, box, claims)
    _location(sheet, box, claims)
    _run(sheet, box)
    _compare(sheet, "metric_mismatch", "result.metrics", found=claims["metrics"], expected=truth.metrics(box.world))
    _compare(
        sheet,
        "summarize_mismatch",
        "of its own run",
        found=claims["own"],
        expected=truth.metrics(box.world),
        required=ALWAYS,
    )
    expected = truth.metrics_of(box.logs)
    _compare(sheet, "summarize_mismatch", "of given logs", found=claims["foreign"], expected=expected, required=ALWAYS)
    sheet.made("summarize")


def _claims(sheet: Sheet, box: Box) -> dict[str, Any] | None:
    """What the driver wrote down; None, with the reason on the sheet, when it did not come to its end."""
    try:
        claims = strict.load(strict.read(box.work, CLAIMS), "what the interface told")
    except BadArtifact as error:
        said = "the process ended before the interface was called" if error.reason == "missing_artifact" else error.said
        sheet.fail("interface", said)
        return None
    if claims.get("step") == "done" and claims.keys() >= {"config", "artifacts", "metrics", "own", "foreign", "live"}:
        return claims
    said = f"{quoted(claims.get('step'))} raised {_told(claims.get('error'), box)}"
    sheet.fail("interface", said)
    return None


def _told(error: object, box: Box) -> str:
    """An error of the submission, without the random names of the folders."""
    return ascii(str(error).replace(str(box.folder), "")[:200])


def _config(sheet: Sheet, box: Box, claims: Mapping[str, Any]) -> None:
    manifest, found = box.world.manifest, _object(claims["config"])
    sheet.made("config")
    for name in (
        "experiment_id",
        "model",
        "max_tokens",
        "temperature",
        "log_schema_version",
        "output_fields",
        "metrics",
    ):
        expected = float(manifest[name]) if name == "temperature" else manifest[name]
        if not same(found.get(name), expected):
            sheet.fail("config", f"{name} is not what the manifest says")
    paths = {"dataset_path": manifest["dataset_path"], "responses_path": manifest["mock"]["responses_path"]}
    for name, relative in paths.items():
        if not _is_path(found.get(name), str(box.given / box.world.resolved(relative))):
            sheet.fail("config", f"{name} is not the absolute path of the file that the manifest names")


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_path(found: object, expected: str) -> bool:
    return type(found) is str and os.path.normpath(found) == expected


def _client(sheet: Sheet, box: Box, claims: Mapping[str, Any]) -> None:
    answer = box.world.answers[box.world.dialogues[0]["dialogue_id"]]
    expected = {"completion": answer["completion"], "type": answer["metadata"]["type"]}
    sheet.made("client")
    if not same(claims.get("simulated"), expected):
        sheet.fail("client_choice", "build_simulator() does not answer from the responses file")
    if not same(claims.get("chosen"), expected):
        sheet.fail("client_choice", "build_live_or_simulated() does not simulate without a key")
    live = _object(claims["live"])
    if live.get("said") != "no answer":
        sheet.fail("client_choice", "build_live_or_simulated() still simulates when there is a key")
    elif live.get("tried") is not True:
        sheet.fail("client_choice", "build_live_or_simulated() gives no client that asks Claude when there is a key")


def _location(sheet: Sheet, box: Box, claims: Mapping[str, Any]) -> None:
    run = box.work / box.run_dir
    expected = {"output_dir": run} | {
        f"{name}_path": run / file
        for name, file in zip(("requests", "responses", "summary"), artifacts.NAMES, strict=True)
    }
    found = _object(claims["artifacts"])
    for name, path in expected.items():
        claimed = found.get(name)
        if type(claimed) is not str or os.path.normpath(box.work / claimed) != str(path):
            sheet.fail("wrong_location", f"artifacts.{name} is not OUTPUT_DIR/EXPERIMENT_ID{_tail(path, run)}")


def _tail(path: os.PathLike[str], run: os.PathLike[str]) -> str:
    return os.fspath(path)[len(os.fspath(run)) :]


# --- what is on disk ------------------------------------------------------------------------------------------------


def _run(sheet: Sheet, box: Box) -> None:
    found = artifacts.read(sheet, box)
    if found is None:
        return
    artifacts.check(sheet, box.world, found)
    _summary(sheet, box, found.summary)


def _summary(sheet: Sheet, box: Box, summary: Mapping[str, Any]) -> None:
    sheet.made("metrics")
    _compare(sheet, "metric_mismatch", "summary.json", found=summary, expected=truth.metrics(box.world))
    for name, expected in (("experiment_id", box.world.experiment_id), ("dialogues", len(box.world.dialogues))):
        if not same(summary.get(name), expected):
            sheet.fail(
                "metric_mismatch", f"summary.json: {name} is {quoted(summary.get(name))}, not {quoted(expected)}"
            )


def _summarized(sheet: Sheet, box: Box) -> None:
    name = f"{box.logs_dir}/{artifacts.NAMES[2]}"
    try:
        summary = strict.load(strict.read(box.work, name), "summary.json")
    except BadArtifact as error:
        sheet.fail("summarize_mismatch", error.said.replace(name, "summary.json"))
        return
    sheet.made("summarize")
    expected = truth.metrics_of(box.logs)
    _compare(sheet, "summarize_mismatch", "summary.json", found=summary, expected=expected, required=ALWAYS)


def _compare(
    sheet: Sheet,
    reason: str,
    what: str,
    *,
    found: object,
    expected: Mapping[str, float],
    required: Sequence[str] | None = None,
) -> None:
    """Every metric that is required must be there, and every one that is there must be right."""
    values = _object(found)
    for name, value in expected.items():
        if name not in values and required is not None and name not in required:
            continue
        if not is_number(values.get(name)) or abs(values[name] - value) > TOLERANCE:
            sheet.fail(reason, f"{what}: {name} is {quoted(values.get(name))}, not {value:.4f}")
