"""Reads the three files of a run strictly, and compares them line by line with what a right run leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from grader.experiment_profiler.boxes.box import Source
from grader.experiment_profiler.judging import strict
from grader.experiment_profiler.judging.strict import BadArtifact, is_number, quoted, same
from grader.experiment_profiler.worlds import truth
from grader.experiment_profiler.worlds.replies import ANY_LATENCY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grader.experiment_profiler.boxes.box import Box, Run
    from grader.experiment_profiler.judging.sheet import Sheet
    from grader.experiment_profiler.worlds.world import World

COVERAGE: Final = 0.6  # share of the facts that an answer must hold, unless it is a refusal
NAMES: Final = ("requests.jsonl", "responses.jsonl", "summary.json")

Lines = list[dict[str, Any]]
Content = TypeVar("Content")


def check(sheet: Sheet, box: Box, run: Run) -> dict[str, Any] | None:
    """Check both logs. Returns the summary as it was found, or None if it cannot be read."""
    sheet.made("files")
    requests = _read(sheet, box, run, NAMES[0], strict.load_lines)
    responses = _read(sheet, box, run, NAMES[1], strict.load_lines)
    if requests is not None:
        _dialogues(sheet, run.world, requests, name=NAMES[0])
        _requests(sheet, run.world, requests)
    if responses is not None:
        _dialogues(sheet, run.world, responses, name=NAMES[1])
        _responses(sheet, run, responses)
    return _read(sheet, box, run, NAMES[2], strict.load)


def _read(sheet: Sheet, box: Box, run: Run, name: str, load: Callable[[bytes, str], Content]) -> Content | None:
    """The content of one file, or None with the reason on the sheet."""
    try:
        return load(strict.read(box.work, f"{run.folder}/{name}"), name)
    except BadArtifact as error:
        sheet.fail(*_reason(box, run, name, error))
        return None


def _reason(box: Box, run: Run, name: str, error: BadArtifact) -> tuple[str, str]:
    """The reason why a file cannot be read. If it lies elsewhere in the box, it is in the wrong place, not missing.

    Files of other runs or of given logs do not count as that.
    """
    others = {box.names["logs"], *(other.folder for other in box.runs)} - {run.folder}
    if error.reason == "missing_artifact" and (elsewhere := strict.find(box.work, name, leave_out=others)) is not None:
        return "wrong_location", f"{name} is in {quoted(elsewhere)}, not in OUTPUT_DIR/EXPERIMENT_ID"
    return error.reason, error.said.replace(f"{run.folder}/", "")


# --- which dialogues ------------------------------------------------------------------------------------------------


def _dialogues(sheet: Sheet, world: World, lines: Lines, *, name: str) -> None:
    expected = dict.fromkeys(dialogue["dialogue_id"] for dialogue in world.dialogues)
    found: dict[str, None] = {}
    sheet.made("dialogues")
    for number, line in enumerate(lines, start=1):
        key = _key(line.get("dialogue_id"))
        if key not in expected:
            sheet.fail("extra_dialogue", f"line {number} of {name} is of {quoted(key)}")
        elif key in found:
            sheet.fail("duplicate_dialogue", f"line {number} of {name} is of {quoted(key)} again")
        found[key] = None
    for key in expected:
        if key not in found:
            sheet.fail("missing_dialogue", f"{name} has no line of {quoted(key)}")
    _order(sheet, [key for key in expected if key in found], [key for key in found if key in expected], name=name)


def _order(sheet: Sheet, wanted: list[str], found: list[str], *, name: str) -> None:
    sheet.made("order")
    if found != wanted:
        at = next(index for index, (left, right) in enumerate(zip(found, wanted, strict=True)) if left != right)
        sheet.fail("order", f"{name} has {quoted(found[at])} where {quoted(wanted[at])} is expected")


def _key(value: object) -> str:
    """The dialogue id. One that is not a text is replaced by a name that no dialogue has."""
    return value if type(value) is str else f"<{type(value).__name__}>"


def _pairs(lines: Lines, expected: Lines) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each line with what it should be; if a dialogue has several lines, its first."""
    by_id: dict[str, dict[str, Any]] = {}
    for line in lines:
        by_id.setdefault(_key(line.get("dialogue_id")), line)
    return ((by_id[line["dialogue_id"]], line) for line in expected if line["dialogue_id"] in by_id)


# --- what the lines say ---------------------------------------------------------------------------------------------


def _requests(sheet: Sheet, world: World, lines: Lines) -> None:
    if not world.dialogues:
        sheet.made("requests")
    for found, expected in _pairs(lines, truth.requests(world)):
        sheet.made("requests")
        for name, value in expected.items():
            if not same(found.get(name), value):
                reason = "prompt" if name == "prompt" else "request_field"
                sheet.fail(reason, f"{name} of {quoted(expected['dialogue_id'])} is {quoted(found.get(name))}")


def _responses(sheet: Sheet, run: Run, lines: Lines) -> None:
    by_id = {dialogue["dialogue_id"]: dialogue for dialogue in run.world.dialogues}
    if not by_id:
        sheet.made("responses")
    if run.source is Source.PREPARED:
        sheet.made("coverage", "refusal")
    for found, expected in _pairs(lines, truth.responses(run.world, run.replies)):
        sheet.made("responses", *(["client"] if run.source is Source.LIVE else []))
        if found.keys() != expected.keys():
            sheet.fail("schema", f"the line of {quoted(expected['dialogue_id'])} has {_difference(found, expected)}")
        _fields(sheet, run, found, expected)
        if run.source is Source.PREPARED and expected["type"] != "error":
            _sufficient(sheet, by_id[expected["dialogue_id"]], found, expected)


def _difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    missing, more = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    return " and ".join(
        f"{word} {', '.join(map(quoted, names[:5]))}" for word, names in (("no", missing), ("also", more)) if names
    )


def _fields(sheet: Sheet, run: Run, found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name in found and not right(found[name], value):
            reason = "completion_mismatch" if name == "completion" else "response_field"
            if run.source is Source.LIVE:
                reason = "client_choice"
            sheet.fail(reason, f"{name} of {quoted(expected['dialogue_id'])} is {quoted(found[name])}")


def right(found: object, expected: object) -> bool:
    if expected is ANY_LATENCY:
        return is_number(found) and found >= 0
    return same(found, expected)


def _sufficient(sheet: Sheet, dialogue: dict[str, Any], found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Check coverage and refusal. Every prepared answer suffices, so only other answers are looked at."""
    name = quoted(dialogue["dialogue_id"])
    if dialogue.get("expect_refusal"):
        if found.get("type") != "refusal":
            sheet.fail("refusal", f"{name} is of type {quoted(found.get('type'))}")
    elif (completion := found.get("completion")) != expected["completion"]:
        share = truth.coverage(dialogue, completion) if type(completion) is str else 0.0
        if share < COVERAGE:
            sheet.fail("coverage", f"{name} holds {share:.2f} of its facts")
