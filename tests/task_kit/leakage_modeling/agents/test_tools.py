"""`tools`: what is wrong with a call is an answer to it, and a submission is taken once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest

from task_kit.leakage_modeling.agents.content import call_of
from task_kit.leakage_modeling.agents.scripted import agent
from task_kit.leakage_modeling.agents.tools import LEAST_BYTES, RUN, SCHEMAS, SUBMIT, Toolbox, schemas
from task_kit.leakage_modeling.worker.worker import Ran, Refused

if TYPE_CHECKING:
    from task_kit.leakage_modeling.worker.worker import Worker

ROWS = 3
GOOD = {"pipeline": "pipeline", "probabilities": "p"}


class FakeWorker:
    """Knows a few variables; what it was asked to run stays."""

    alive = True

    def __init__(self, *, stdout: str = "said\n") -> None:
        self.ran: list[str] = []
        self.stdout = stdout
        self.values = {"p": [0.1, 0.2, 0.3], "two": [[0.9, 0.1]] * 3, "nan": [0.1, np.nan, 1], "big": [0.5, 2, -1]}

    def run(self, code: str) -> Ran:
        self.ran.append(code)
        return Ran(stdout=self.stdout, error="Oops: no" if "bad" in code else None)

    def value(self, name: str) -> np.ndarray:
        if name not in self.values:
            raise Refused(f"there is no variable {name!r}")
        return np.array(self.values[name], dtype=float)

    def check_pipeline(self, name: str) -> None:
        if name != "pipeline":
            raise Refused(f"there is no variable {name!r}")


def toolbox(worker: FakeWorker | None = None) -> Toolbox:
    fake: Any = worker or FakeWorker()
    given: Worker = fake
    return Toolbox(given, rows=ROWS)


def test_the_tools_are_described_as_the_api_wants_them() -> None:
    told = schemas(stdout_chars=8_000)

    assert [tool["name"] for tool in told] == [RUN, SUBMIT]
    assert "8,000 characters" in told[0]["description"]
    for tool in told:
        assert set(tool) == {"name", "description", "input_schema"}
        jsonschema.Draft202012Validator.check_schema(tool["input_schema"])


def test_what_a_careful_agent_sends_satisfies_the_schemas() -> None:
    by_name = {tool["name"]: tool["input_schema"] for tool in SCHEMAS}
    script = agent("honest", honest="1", leaking="1")

    for turn in script:
        for name, given in turn.calls:
            jsonschema.validate(given, by_name[name])


def test_code_is_run_and_its_output_comes_back() -> None:
    worker = FakeWorker()

    result = toolbox(worker).call(RUN, {"expression": "1 + 1"})

    assert (result.text, result.is_error) == ("said", False)
    assert worker.ran == ["1 + 1"]


def test_an_error_of_the_code_is_told_beside_its_output() -> None:
    result = toolbox().call(RUN, {"expression": "bad"})

    assert (result.text, result.is_error) == ("said\nOops: no", True)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        (RUN, {}),
        (RUN, {"expression": None}),
        (RUN, {"expression": "  "}),
        (RUN, {"expression": ["1"]}),
        (RUN, {"script": "1"}),
        (RUN, {"expression": "#" * 200_000}),
        (RUN, None),
        (RUN, "1 + 1"),
        ("bash", {"command": "ls"}),
        ("None", {}),
    ],
)
def test_a_wrong_call_runs_nothing_and_is_answered(name: str, given: object) -> None:
    worker = FakeWorker()

    result = toolbox(worker).call(name, given)

    assert result.is_error
    assert len(result.text) < 300
    assert worker.ran == []


def test_the_words_of_the_original_are_understood_with_a_hint() -> None:
    worker = FakeWorker()
    tools = toolbox(worker)

    ran = tools.call(RUN, {"code": "1 + 1"})
    tools.call(SUBMIT, {"model": "pipeline", "y_pred_proba": "p"})

    assert "`code` is called `expression` here" in ran.text
    assert worker.ran == ["1 + 1"]
    assert tools.submission is not None


def test_what_is_wrong_with_an_old_word_is_told_with_the_new_one() -> None:
    refused = toolbox().call(SUBMIT, {"pipeline": "pipeline", "y_pred_proba": [0.5]})

    assert "`y_pred_proba` is called `probabilities` here" in refused.text


def test_all_answers_of_a_step_share_its_bytes() -> None:
    worker = FakeWorker(stdout="ü" * 5_000)
    calls = [call_of(RUN, {"expression": "1"}, id=f"c{n}", taken=set()) for n in range(4)]

    results = toolbox(worker).step(calls, most_bytes=12_000)

    sizes = [len(result.text.encode()) for result in results]
    assert sizes[0] == 10_000
    assert sum(sizes) <= 12_000 + 2 * LEAST_BYTES
    assert "more bytes were cut" in results[1].text


def test_half_a_character_in_code_is_replaced() -> None:
    worker = FakeWorker()

    toolbox(worker).call(RUN, json.loads('{"expression": "\'\\ud800\'"}'))

    assert worker.ran == ["'?'"]


@pytest.mark.parametrize(
    "probabilities", ["p", " p ", [0.1, 0.2, 0.3], "[0.1, 0.2, 0.3]"], ids=["name", "spaces", "list", "text"]
)
def test_a_submission_is_taken_by_name_or_by_value(probabilities: object) -> None:
    tools = toolbox()

    result = tools.call(SUBMIT, {"pipeline": "pipeline", "probabilities": probabilities})

    assert not result.is_error
    assert tools.submission is not None
    assert tools.submission.pipeline_name == "pipeline"
    np.testing.assert_array_equal(tools.submission.test_probabilities, [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "pipeline: found None"),
        ({**GOOD, "pipeline": "other"}, "there is no variable 'other'"),
        ({**GOOD, "pipeline": "make_pipeline()"}, "expected the name of a variable"),
        ({**GOOD, "pipeline": 7}, "expected the name of a variable"),
        ({**GOOD, "probabilities": "q"}, "there is no variable 'q'"),
        ({**GOOD, "probabilities": "two"}, "take column 1 of predict_proba"),
        ({**GOOD, "probabilities": "nan"}, "1 values that are not finite"),
        ({**GOOD, "probabilities": "big"}, "found 2.0 and 1 more outside of 0 to 1"),
        ({**GOOD, "probabilities": "p[:, 1]"}, "expected the name of a variable"),
        ({**GOOD, "probabilities": [0.1, 0.2]}, r"found shape \(2,\), expected \(3,\)"),
        ({**GOOD, "probabilities": [0.1, 0.2, "0.3"]}, "found '0.3' in the list"),
        ({**GOOD, "probabilities": [0.1, 0.2, True]}, "found True in the list"),
        ({**GOOD, "probabilities": [0.1, 0.2, None]}, "found None in the list"),
        ({**GOOD, "probabilities": [0.1, 0.2, 10**400]}, "too large"),
        ({**GOOD, "probabilities": "[0.1, NaN, 0.3]"}, "not finite"),
        ({**GOOD, "probabilities": "[0.1, 0.2"}, "neither a name nor a JSON list"),
        ({**GOOD, "probabilities": {"a": 1}}, "expected the name of a variable or a list"),
    ],
)
def test_a_submission_that_is_wrong_in_form_is_refused_with_the_reason(given: dict[str, Any], why: str) -> None:
    tools = toolbox()

    result = tools.call(SUBMIT, given)

    assert result.is_error
    assert tools.submission is None
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(result.text)
    assert not tools.call(SUBMIT, GOOD).is_error  # and can be mended


def test_after_the_submission_nothing_is_run_and_nothing_is_taken() -> None:
    worker = FakeWorker()
    tools = toolbox(worker)
    tools.call(SUBMIT, GOOD)
    taken = tools.submission

    later = [tools.call(SUBMIT, {**GOOD, "probabilities": [0, 0, 0]}), tools.call(RUN, {"expression": "1"})]

    assert all(result.is_error and "the episode is over" in result.text for result in later)
    assert tools.submission is taken
    assert worker.ran == []
