"""The three files of a run, read strictly and compared line by line with what a right run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from grader.experiment_profiler.judging import strict
from grader.experiment_profiler.judging.strict import BadArtifact, is_number, quoted, same
from grader.experiment_profiler.worlds import truth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grader.experiment_profiler.boxes.layout import Box
    from grader.experiment_profiler.judging.sheet import Sheet
    from grader.experiment_profiler.worlds.world import World

COVERAGE: Final = 0.6  # of the facts of an answer that is no refusal
NAMES: Final = ("requests.jsonl", "responses.jsonl", "summary.json")

Lines = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifacts:
    requests: Lines
    responses: Lines
    summary: dict[str, Any]


def read(sheet: Sheet, box: Box) -> Artifacts | None:
    """All three, or None with the reasons on the sheet."""
    sheet.made("files")
    contents = [_content(sheet, box, name) for name in NAMES]
    if None in contents:
        return None
    requests, responses, summary = (content or b"" for content in contents)
    try:
        return Artifacts(
            requests=strict.load_lines(requests, NAMES[0]),
            responses=strict.load_lines(responses, NAMES[1]),
            summary=strict.load(summary, NAMES[2]),
        )
    except BadArtifact as error:
        sheet.fail(error.reason, error.said)
        return None


def _content(sheet: Sheet, box: Box, name: str) -> bytes | None:
    try:
        return strict.read(box.work, f"{box.run_dir}/{name}")
    except BadArtifact as error:
        sheet.fail(*_reason(box, name, error))
        return None


def _reason(box: Box, name: str, error: BadArtifact) -> tuple[str, str]:
    """A file that lies elsewhere is not simply missing; the logs that the grader put there do not count."""
    if error.reason == "missing_artifact" and (elsewhere := strict.find(box.work, name, leave_out="logs")) is not None:
        return "wrong_location", f"{name} is in {quoted(elsewhere)}, not in OUTPUT_DIR/EXPERIMENT_ID"
    return error.reason, error.said.replace(f"{box.run_dir}/", "")


def check(sheet: Sheet, world: World, found: Artifacts) -> None:
    for name, lines in zip(NAMES, (found.requests, found.responses), strict=False):
        _dialogues(sheet, world, lines, name=name)
    _requests(sheet, world, found.requests)
    _responses(sheet, world, found.responses)


# --- which dialogues ------------------------------------------------------------------------------------------------


def _dialogues(sheet: Sheet, world: World, lines: Lines, *, name: str) -> None:
    expected = [dialogue["dialogue_id"] for dialogue in world.dialogues]
    found = [_key(line.get("dialogue_id")) for line in lines]
    sheet.made("dialogues")
    for index, key in enumerate(found):
        if key not in expected:
            sheet.fail("extra_dialogue", f"line {index + 1} of {name} is of {quoted(key)}")
        elif key in found[:index]:
            sheet.fail("duplicate_dialogue", f"line {index + 1} of {name} is of {quoted(key)} again")
    for key in expected:
        if key not in found:
            sheet.fail("missing_dialogue", f"{name} has no line of {quoted(key)}")
    _order(sheet, expected, found, name=name)


def _order(sheet: Sheet, expected: list[str], found: list[str], *, name: str) -> None:
    known = list(dict.fromkeys(key for key in found if key in expected))
    wanted = [key for key in expected if key in known]
    sheet.made("order")
    if known != wanted:
        at = next(index for index, (left, right) in enumerate(zip(known, wanted, strict=True)) if left != right)
        sheet.fail("order", f"{name} has {quoted(known[at])} where {quoted(wanted[at])} is expected")


def _key(value: object) -> str:
    """A dialogue id is a text; what is none is the id of nothing."""
    return value if type(value) is str else f"<{type(value).__name__}>"


def _pairs(lines: Lines, expected: Lines) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The line of each dialogue beside what it should be; the first one, where there are several."""
    by_id: dict[str, dict[str, Any]] = {}
    for line in lines:
        by_id.setdefault(_key(line.get("dialogue_id")), line)
    return ((by_id[line["dialogue_id"]], line) for line in expected if line["dialogue_id"] in by_id)


# --- what the lines say ---------------------------------------------------------------------------------------------


def _requests(sheet: Sheet, world: World, lines: Lines) -> None:
    for found, expected in _pairs(lines, truth.requests(world)):
        sheet.made("requests")
        for name, value in expected.items():
            if not same(found.get(name), value):
                reason = "prompt" if name == "prompt" else "request_field"
                sheet.fail(reason, f"{name} of {quoted(expected['dialogue_id'])} is {quoted(found.get(name))}")


def _responses(sheet: Sheet, world: World, lines: Lines) -> None:
    by_id = {dialogue["dialogue_id"]: dialogue for dialogue in world.dialogues}
    for found, expected in _pairs(lines, truth.responses(world)):
        dialogue = by_id[expected["dialogue_id"]]
        sheet.made("responses")
        if found.keys() != expected.keys():
            sheet.fail("schema", f"the line of {quoted(expected['dialogue_id'])} has {_difference(found, expected)}")
        _fields(sheet, found, expected)
        if dialogue.get("expect_refusal"):
            _refusal(sheet, found)
        else:
            _coverage(sheet, dialogue, found)


def _difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    missing, more = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    return " and ".join(
        f"{word} {', '.join(map(quoted, names[:5]))}" for word, names in (("no", missing), ("also", more)) if names
    )


def _fields(sheet: Sheet, found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name in found and not _right(found[name], value):
            reason = "completion_mismatch" if name == "completion" else "response_field"
            sheet.fail(reason, f"{name} of {quoted(expected['dialogue_id'])} is {quoted(found[name])}")


def _right(found: object, expected: object) -> bool:
    if expected is truth.ANY_LATENCY:
        return is_number(found) and isinstance(found, (int, float)) and found >= 0
    return same(found, expected)


def _refusal(sheet: Sheet, found: dict[str, Any]) -> None:
    sheet.made("refusal")
    if found.get("type") != "refusal":
        sheet.fail("refusal", f"{quoted(found.get('dialogue_id'))} is of type {quoted(found.get('type'))}")


def _coverage(sheet: Sheet, dialogue: dict[str, Any], found: dict[str, Any]) -> None:
    completion = found.get("completion")
    share = truth.coverage(dialogue, completion) if type(completion) is str else 0.0
    sheet.made("coverage")
    if share < COVERAGE:
        sheet.fail("coverage", f"{quoted(dialogue['dialogue_id'])} holds {share:.2f} of its facts")
