"""Live requests are answered outside of the box, whoever makes them, and each is counted."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from grader.experiment_profiler.boxes import layout
from grader.experiment_profiler.boxes.box import Kind
from grader.experiment_profiler.boxes.stand_in import asked_outside
from grader.experiment_profiler.boxes.steps import questions
from grader.experiment_profiler.boxes.submission import Submission
from grader.experiment_profiler.boxes.wire import REQUEST_BYTES, Wire, question
from grader.experiment_profiler.judging import checks
from grader.experiment_profiler.worlds import marks
from tests.grader.building import SEED, Run, outcome, planned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from grader.experiment_profiler.boxes.box import Box

ASKED: dict[str, Any] = {
    "api_key": "k",
    "base_url": "http://a",
    "max_tokens": 9,
    "model": "m",
    "system": "\u2028",
    "temperature": 0.5,
    "user": "u\ud800",
}
NONSENSE = {
    "nothing": b"",
    "no JSON": b"{",
    "not UTF-8": b"\xff\xfe\xfd",
    "no object": b"[1]",
    "another question": json.dumps({**ASKED, "seed": 1}).encode(),
    "brackets without end": b"[" * 200_000,
    "more than is read": b" " * (REQUEST_BYTES + (1 << 20)),
}


@pytest.fixture
def box(tmp_path: Path) -> Box:
    made = planned("world-1 api", root=tmp_path / ("a-long-name-" * 12))
    made.folder.mkdir(parents=True)
    return made


def test_a_question_is_answered_as_the_grader_expects_and_counted(box: Box) -> None:
    with Wire(box) as wire:
        asking = [threading.Thread(target=asked_outside, args=(str(box.wire), ASKED)) for _ in range(8)]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
        said = asked_outside(str(box.wire), ASKED)

    assert said == marks.live_message(box.secrets.live, **ASKED)
    assert wire.asked == {question(ASKED): 9}


@pytest.mark.parametrize("said", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_no_question_and_stops_nobody_else(box: Box, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(box.folder)
    with Wire(box) as wire:
        with socket.socket(socket.AF_UNIX) as connection, suppress(BrokenPipeError, ConnectionResetError):
            connection.connect(box.wire.name)
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
        asked_outside(str(box.wire), ASKED)

    assert wire.asked == {question(ASKED): 1}


def test_the_secret_of_live_answers_lies_in_no_box_that_has_a_wire(tmp_path: Path) -> None:
    made = planned("world-1 api", root=tmp_path)
    layout.lay_out(made, Submission(path="x", files={}), seed=SEED, wired=True)
    text = b"".join(path.read_bytes() for path in made.folder.rglob("*") if path.is_file()).decode(errors="replace")

    assert made.secrets.live not in text
    assert made.secrets.marks in text


# --- what is expected of them ----------------------------------------------------------------------------------------


def first(box: Box, *, failing: bool) -> str:
    return next(
        question(each)
        for each in questions(box, SEED)
        if bool(marks.live_message(box.secrets.live, **each)["error"]) is failing
    )


def more(box: Box, *, failing: bool) -> Counter[str]:
    return Counter([first(box, failing=failing)])


WRONG: dict[str, tuple[Callable[[Box, Counter[str]], Counter[str]], set[str]]] = {
    "each once": (lambda box, asked: asked, set()),
    "one again that had failed": (lambda box, asked: asked + more(box, failing=True), set()),
    "one again that was answered": (lambda box, asked: asked + more(box, failing=False), {"client_choice"}),
    "one not at all": (lambda box, asked: asked - more(box, failing=False), {"client_choice"}),
    "another": (lambda box, asked: asked + Counter(["{}"]), {"client_choice"}),
    "none": (lambda box, asked: Counter(), {"client_choice"}),
}


@pytest.mark.parametrize("how", WRONG)
def test_every_dialogue_is_one_request(tmp_path: Path, how: str) -> None:
    change, reasons = WRONG[how]
    run = Run(tmp_path, kind=Kind.API)
    run.write()
    asked = change(run.box, Counter(map(question, questions(run.box, SEED))))

    found = checks.judge(run.box, outcome(), seed=SEED, asked=asked)

    assert {finding.reason for finding in found} - {None} == reasons
