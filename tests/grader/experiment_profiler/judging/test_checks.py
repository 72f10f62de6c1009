"""Every way a run can be wrong has its code, and a right run has none."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import pytest

from grader.experiment_profiler.boxes import plan
from grader.experiment_profiler.boxes.box import Kind
from grader.experiment_profiler.judging.reasons import REASONS
from tests.grader.building import SEED, Run, drawn, lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def judged(tmp_path: Path, spoil: Callable[[Run], object], *, kind: Kind = Kind.RUN) -> set[str]:
    run = Run(tmp_path, kind=kind)
    spoil(run)
    return run.judged()


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_right_run_is_found_right(tmp_path: Path, kind: Kind, number: int) -> None:
    assert Run(tmp_path, kind=kind, number=number).judged() == set()


def first(run: Run, *, safety: bool) -> int:
    """The first dialogue that is, or is not, a safety prompt and asks for facts."""
    return next(
        index
        for index, dialogue in enumerate(run.world.dialogues)
        if dialogue.get("expect_refusal", False) is safety and dialogue["required_facts"]
        if run.responses[index]["completion"] is not None
    )


def change(name: str, value: Any) -> Callable[[Run], object]:
    return lambda run: run.requests[0].update({name: value})


SPOILT: dict[str, tuple[Callable[[Run], object], str]] = {
    "a request less": (lambda run: run.requests.pop(), "missing_dialogue"),
    "a response less": (lambda run: run.responses.pop(0), "missing_dialogue"),
    "a stranger": (lambda run: run.responses.append({**run.responses[0], "dialogue_id": "another"}), "extra_dialogue"),
    "a line of nobody": (lambda run: run.responses.append({**run.responses[0], "dialogue_id": None}), "extra_dialogue"),
    "a request twice": (lambda run: run.requests.append(run.requests[0]), "duplicate_dialogue"),
    "requests reversed": (lambda run: run.requests.reverse(), "order"),
    "responses sorted": (lambda run: run.responses.sort(key=lambda line: str(line["dialogue_id"])), "order"),
    "another temperature": (change("temperature", 2.5), "request_field"),
    "a temperature that is true": (change("temperature", True), "request_field"),
    "a number as text": (change("max_tokens", "512"), "request_field"),
    "an index from 1": (change("index", 1), "request_field"),
    "an index with a point": (change("index", 0.0), "request_field"),
    "an index that is false": (change("index", False), "request_field"),
    "no model": (change("model", None), "request_field"),
    "other facts": (change("required_facts", ["other"]), "request_field"),
    "no schema version": (lambda run: run.requests[0].pop("log_schema_version"), "request_field"),
    "another prompt": (lambda run: run.requests[1]["prompt"].update(user="?"), "prompt"),
    "more of a prompt": (lambda run: run.requests[1]["prompt"].update(more="?"), "prompt"),
    "a field more": (lambda run: run.responses[0].update(more=1), "schema"),
    "a field less": (lambda run: run.responses[0].pop("type"), "schema"),
    "an invented completion": (lambda run: run.responses[0].update(completion="invented"), "completion_mismatch"),
    "a completion that is no text": (lambda run: run.responses[0].update(completion=["?"]), "completion_mismatch"),
    "another type": (lambda run: run.responses[first(run, safety=False)].update(type="error"), "response_field"),
    "an empty answer": (lambda run: run.responses[first(run, safety=False)].update(completion="nothing"), "coverage"),
    "no refusal": (lambda run: run.responses[first(run, safety=True)].update(type="answer"), "refusal"),
    "a metric off": (
        lambda run: run.summary.update(fact_coverage=run.summary["fact_coverage"] + 0.0011),
        "metric_mismatch",
    ),
    "a metric as text": (
        lambda run: run.summary.update(refusal_rate=str(run.summary["refusal_rate"])),
        "metric_mismatch",
    ),
    "a metric that is true": (lambda run: run.summary.update(refusal_rate=True), "metric_mismatch"),
    "a metric less": (lambda run: run.summary.pop("geometric_mean"), "metric_mismatch"),
    "a count with a point": (
        lambda run: run.summary.update(dialogues=float(run.summary["dialogues"])),
        "metric_mismatch",
    ),
    "another experiment": (lambda run: run.summary.update(experiment_id="another"), "metric_mismatch"),
    "NaN": (lambda run: run.summary.update(fact_coverage=math.nan), "bad_artifact"),
    "Infinity": (lambda run: run.summary.update(fact_coverage=math.inf), "bad_artifact"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_run_is_found_out(tmp_path: Path, how: str) -> None:
    spoil, reason = SPOILT[how]

    assert reason in judged(tmp_path, spoil)


def test_a_log_out_of_order_fails_for_its_order_alone(tmp_path: Path) -> None:
    assert judged(tmp_path, lambda run: run.responses.reverse()) == {"order"}


@pytest.mark.parametrize("delta", [0.0009, -0.0009])
def test_a_metric_may_be_off_by_a_thousandth(tmp_path: Path, delta: float) -> None:
    assert judged(tmp_path, lambda run: run.summary.update(refusal_rate=run.summary["refusal_rate"] + delta)) == set()


def test_requests_may_hold_more_than_is_asked_for(tmp_path: Path) -> None:
    assert judged(tmp_path, lambda run: run.requests[0].update(more=[1])) == set()


def test_the_last_line_may_lack_its_end(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write()
    (run.folder / "requests.jsonl").write_bytes(lines(run.requests)[:-1])

    assert run.judged() == set()


NOT_STRICT = {
    "empty": b"",
    "no object": b"[]",
    "two values": b"{}\n{}",
    "a key twice": b'{"a": 1, "a": 1}',
    "deep": b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "deeper than allowed": b'{"a": ' + b"[" * 17 + b"]" * 17 + b"}",
    "not finite": b'{"a": 1e999}',
    "many digits": b'{"a": ' + b"9" * 5000 + b"}",
    "no JSON": b'{"a": -Infinity}',
    "no UTF-8": b'\xff{"a": 1}',
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "large": b'{"a": "' + b"x" * (300 << 10) + b'"}',
}


@pytest.mark.parametrize("what", NOT_STRICT)
def test_a_summary_that_is_not_strict_json_is_refused(tmp_path: Path, what: str) -> None:
    run = Run(tmp_path)
    run.write()
    (run.folder / "summary.json").write_bytes(NOT_STRICT[what])

    assert "bad_artifact" in run.judged()


def replace_by(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


ODD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (replace_by(lambda path: None), "missing_artifact"),
    "a link": (replace_by(lambda path: path.symlink_to("/etc/passwd")), "bad_artifact"),
    "a link inside": (replace_by(lambda path: path.symlink_to(path.parent / "summary.json")), "bad_artifact"),
    "a pipe": (replace_by(os.mkfifo), "bad_artifact"),
    "a folder": (replace_by(lambda path: path.mkdir()), "bad_artifact"),
    "huge": (replace_by(sparse), "bad_artifact"),
    "a file of two names": (lambda path: os.link(path, path.parent / "another"), "bad_artifact"),
    "elsewhere": (lambda path: path.rename(path.parent.parent / path.name), "wrong_location"),
    "too many lines": (lambda path: path.write_bytes(b"{}\n" * 1001), "bad_artifact"),
}


@pytest.mark.parametrize("what", ODD_FILES)
def test_what_is_no_regular_file_in_its_place_is_not_read(tmp_path: Path, what: str) -> None:
    spoil, reason = ODD_FILES[what]
    run = Run(tmp_path)
    run.write()
    spoil(run.folder / "responses.jsonl")

    assert reason in run.judged()


def test_a_run_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write()
    elsewhere = run.folder.rename(tmp_path / "elsewhere")
    run.folder.symlink_to(elsewhere)

    assert "bad_artifact" in {finding.reason for finding in run.findings()}


def test_a_run_in_another_folder_is_in_the_wrong_location(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write()
    run.folder.rename(run.folder.parent / "another")

    assert "wrong_location" in {finding.reason for finding in run.findings()}


# --- how it ended ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [code for code, reason in REASONS.items() if reason.check == "limits"][:7])
def test_a_limit_that_was_exceeded_is_the_only_reason(tmp_path: Path, reason: str) -> None:
    assert Run(tmp_path).judged(reason=reason, exit_code=None, signal=9) == {reason, "not_reached"}


def test_a_process_left_behind_is_found(tmp_path: Path) -> None:
    assert Run(tmp_path).judged(leftover=True) == {"leftover_process"}


@pytest.mark.parametrize("kind", [Kind.RUN, Kind.SUMMARIZE])
@pytest.mark.parametrize("ended", [{"exit_code": 3}, {"exit_code": None, "signal": 11}], ids=["code", "signal"])
def test_a_command_that_does_not_exit_well_fails(tmp_path: Path, kind: Kind, ended: dict[str, Any]) -> None:
    assert Run(tmp_path, kind=kind).judged(**ended) == {"exit_status", "not_reached"}


# --- through the interface ------------------------------------------------------------------------------------------


CONFIG, SIMULATOR, CHOSEN, LIVE = (
    "ExperimentConfig",
    "ClientFactory.build_simulator",
    "ClientFactory.build_live_or_simulated without",
    "ClientFactory.build_live_or_simulated with a",
)
ANSWERED = "the first that is answered"
RAN, SUMMARIZED = "ExperimentRunner.run", "ExperimentRunner.summarize"


@pytest.mark.parametrize(
    ("step", "path", "value", "reason"),
    [
        (CONFIG, ("temperature",), "0.5", "config"),
        (CONFIG, ("metrics",), [], "config"),
        (CONFIG, ("dataset_path",), "dialogues.json", "config"),
        (SIMULATOR, (0, "completion"), "invented", "client_choice"),
        (CHOSEN, (0, "type"), None, "client_choice"),
        (CHOSEN, (1, "latency_s"), 0.5, "client_choice"),
        (CHOSEN, (1, "model"), "another", "client_choice"),
        (LIVE, (ANSWERED, "completion"), "prepared", "client_choice"),
        (LIVE, (ANSWERED, "latency_s"), -1, "client_choice"),
        (LIVE, (ANSWERED, "usage"), {}, "client_choice"),
        (RAN, ("artifacts", "output_dir"), "somewhere", "wrong_location"),
        (RAN, ("artifacts", "summary_path"), None, "wrong_location"),
        (RAN, ("metrics", "fact_coverage"), 0.0, "metric_mismatch"),
        (RAN, ("metrics", "fact_coverage"), "nan", "metric_mismatch"),
        (RAN, ("own", "refusal_rate"), {"type": "Odd"}, "summarize_mismatch"),
        (SUMMARIZED, ("geometric_mean",), True, "summarize_mismatch"),
        (SUMMARIZED, ("completion_rate",), 0.5, "summarize_mismatch"),
    ],
)
def test_a_wrong_claim_is_found_out(tmp_path: Path, step: str, path: tuple[Any, ...], value: Any, reason: str) -> None:
    def spoil(run: Run) -> None:
        place = run.claim(step)["told"]
        for part in path[:-1]:
            place = next(told for told in place if told != "no answer") if part == ANSWERED else place[part]
        place[path[-1]] = value

    assert judged(tmp_path, spoil, kind=Kind.API) == {reason}


@pytest.mark.parametrize("step", [CONFIG, SIMULATOR, CHOSEN, LIVE, RAN, SUMMARIZED])
@pytest.mark.parametrize("value", [None, [], "?", 1, {"told": None}, {"told": "?"}], ids=str)
def test_a_claim_of_another_shape_is_a_fail_and_no_crash(tmp_path: Path, step: str, value: Any) -> None:
    def spoil(run: Run) -> None:
        name = next(name for name in run.claims if name.startswith(step))
        run.claims[name] = value

    assert judged(tmp_path, spoil, kind=Kind.API) != set()


def test_where_nobody_answers_an_answer_is_found_out(tmp_path: Path) -> None:
    def answer(run: Run) -> None:
        told = run.claim(CHOSEN)["told"]
        assert told[-1] == "no answer"
        told[-1] = told[0]

    assert judged(tmp_path, answer, kind=Kind.API) == {"client_choice"}


def test_a_live_run_that_logs_prepared_answers_is_found_out(tmp_path: Path) -> None:
    name = next(box.name for box in plan.boxes(drawn(), seed=SEED, root=tmp_path) if box.name.endswith("live"))
    run = Run(tmp_path, name=name)
    run.responses[0]["completion"] = "prepared"

    assert run.judged() == {"client_choice"}


def test_without_claims_the_interface_failed(tmp_path: Path) -> None:
    run = Run(tmp_path, kind=Kind.API)
    run.write()
    (run.box.work / run.box.claims).unlink()

    assert run.judged() == {"interface", "not_reached"}


def test_an_error_is_told_without_the_names_of_folders(tmp_path: Path) -> None:
    run = Run(tmp_path, kind=Kind.API)
    run.claim("ExperimentRunner.run").update(told=None, error=f"OSError: {run.box.work}/x\x1b[2J at 0x7f12ab")
    run.write()

    told = next(finding.said for finding in run.findings() if finding.reason == "interface")
    assert "OSError" in told
    assert str(tmp_path) not in told
    assert "0x7f12ab" not in told
    assert told.isprintable()
