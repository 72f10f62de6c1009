"""The two tools of an agent: running code in its worker, and submitting.

Whatever is wrong with a call is answered in words and never raises.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from task_kit.leakage_modeling.worker.fitter import Submission
from task_kit.leakage_modeling.worker.plain_text import clean, within_bytes
from task_kit.leakage_modeling.worker.worker import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from task_kit.leakage_modeling.agents.content import Call
    from task_kit.leakage_modeling.worker.worker import Worker

RUN, SUBMIT = "python_expression", "submit_answer"
LONGEST_CODE = 100_000
LONGEST_NAME = 200
LEAST_BYTES = 200  # each answer gets at least this much, however long those before it were
OLD_WORDS = {"y_pred_proba": "probabilities", "answer": "probabilities", "model": "pipeline", "code": "expression"}

SCHEMAS: Final[list[dict[str, Any]]] = [
    {
        "name": RUN,
        "description": (
            "Run Python code in a worker that keeps its variables between calls. It has train_df, test_df, pd, np, sklearn "
            "and scipy. What the code prints and the value of its last expression come back, cut at {stdout} characters."
        ),
        "input_schema": {
            "type": "object",
            "properties": {"expression": {"type": "string", "description": "Python code, of one line or many."}},
            "required": ["expression"],
        },
    },
    {
        "name": SUBMIT,
        "description": (
            "Submit, once: an unfitted or fitted scikit-learn pipeline, which is cloned and fitted again on train_df, and "
            "its probabilities of target = 1 for the rows of test_df, in order. What is wrong in form is refused with the "
            "reason and can be mended; an accepted submission ends the episode."
        ),
        "input_schema": {
            "type": "object",
            "properties": {
                "pipeline": {"type": "string", "description": "Name of the worker's variable that holds the pipeline."},
                "probabilities": {
                    "description": "Name of the worker's variable that holds the probabilities, or the numbers.",
                    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "number"}}],
                },
            },
            "required": ["pipeline", "probabilities"],
        },
    },
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The answer to a call."""

    text: str
    is_error: bool = False


def schemas(*, stdout_chars: int) -> list[dict[str, Any]]:
    """The tools as they are described to the model."""
    return [{**tool, "description": tool["description"].format(stdout=f"{stdout_chars:,}")} for tool in SCHEMAS]


class Toolbox:
    """The tools of one episode. They block: a call takes as long as its code."""

    def __init__(self, worker: Worker, *, rows: int) -> None:
        self.submission: Submission | None = None
        self._worker = worker
        self._rows = rows

    def step(
        self, calls: Sequence[Call], *, cut_off: Call | None = None, most_bytes: int, told: str = ""
    ) -> list[Result]:
        """The answers to all calls of one reply, in order, and together no longer than `most_bytes`.

        `cut_off` is a call that the model did not finish; its answer is `told`.
        """
        left, results = most_bytes, []
        for call in calls:
            result = _refused(told) if call is cut_off else self.call(call.asked_for, call.given)
            text = within_bytes(clean(result.text), max(left, LEAST_BYTES))
            left -= len(text.encode())
            results.append(Result(text=text, is_error=result.is_error))
        return results

    def call(self, name: str, given: object) -> Result:
        if self.submission is not None:
            return _refused("Not run: the answer has been submitted, the episode is over.")
        if not isinstance(given, dict):
            return _refused(f"Not run: found {type(given).__name__} as input, expected an object.")
        match name:
            case "python_expression":
                return self._run(*_translated(given, ("expression",)))
            case "submit_answer":
                return self._submit(*_translated(given, ("pipeline", "probabilities")))
            case _:
                return _refused(f"There is no tool {name!r}, only {RUN} and {SUBMIT}.")

    def _run(self, given: Mapping[str, Any], hint: str) -> Result:
        code = given.get("expression")
        if not isinstance(code, str) or not code.strip():
            return _refused(f"{RUN}: found {_shown(code)}, expected code as a text in `expression`.")
        if len(code) > LONGEST_CODE:
            return _refused(f"{RUN}: found {len(code):,} characters of code, expected at most {LONGEST_CODE:,}.")
        if not self._worker.alive:
            return _refused("Not run: the worker has died too often and was not started again.")
        ran = self._worker.run(clean_code(code))
        parts = [hint, ran.stdout.rstrip("\n"), ran.error or ""]
        text = "\n".join(part for part in parts if part)
        return Result(text=text or "(no output)", is_error=ran.error is not None)

    def _submit(self, given: Mapping[str, Any], hint: str) -> Result:
        try:
            pipeline = _name(given.get("pipeline"), "pipeline")
            probabilities = self._probabilities(given.get("probabilities"))
            self._worker.check_pipeline(pipeline)
        except Refused as refused:
            return _refused(f"Not accepted: {refused}" + (f" ({hint})" if hint else ""))
        self.submission = Submission(pipeline_name=pipeline, test_probabilities=probabilities)
        return Result(text="Accepted. The episode is over.")

    def _probabilities(self, given: object) -> np.ndarray:
        values = self._values(given)
        if values.shape != (self._rows,):
            hint = "; take column 1 of predict_proba" if values.shape == (self._rows, 2) else ""
            raise Refused(f"probabilities: found shape {values.shape}, expected ({self._rows},){hint}")
        if bad := int((~np.isfinite(values)).sum()):
            raise Refused(f"probabilities: found {bad} values that are not finite, expected numbers from 0 to 1")
        outside = values[(values < 0) | (values > 1)]
        if outside.size:
            raise Refused(f"probabilities: found {outside[0]!s} and {outside.size - 1} more outside of 0 to 1")
        return values

    def _values(self, given: object) -> np.ndarray:
        """The numbers given, or those of the worker's variable that is named."""
        if isinstance(given, str) and given.lstrip().startswith("["):
            given = _from_json(given)
        if isinstance(given, str):
            return self._worker.value(_name(given, "probabilities"))
        if not isinstance(given, list):
            raise Refused(f"probabilities: found {_shown(given)}, expected the name of a variable or a list of numbers")
        for number in given:
            if type(number) not in (int, float):
                raise Refused(f"probabilities: found {_shown(number)} in the list, expected numbers")
        try:
            return np.array(given, dtype="<f8")
        except OverflowError as error:
            raise Refused("probabilities: found a number too large for a float") from error


def _translated(given: Mapping[str, Any], fields: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """The input with the public original's words replaced by those of this task, and a remark about that."""
    found, said = dict(given), []
    for old, new in OLD_WORDS.items():
        if new in fields and new not in found and old in found:
            found[new] = found.pop(old)
            said.append(f"`{old}` is called `{new}` here")
    return found, "; ".join(said)


def _from_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"probabilities: found a text that is neither a name nor a JSON list: {error}") from error


def _name(given: object, field: str) -> str:
    if not isinstance(given, str) or len(given) > LONGEST_NAME or not given.strip().isidentifier():
        raise Refused(f"{field}: found {_shown(given)}, expected the name of a variable in the worker")
    return given.strip()


def _refused(text: str) -> Result:
    return Result(text=text, is_error=True)


def _shown(value: object) -> str:
    text = clean(repr(value)[:100])
    return text if len(text) <= 80 else f"{text[:79]}…"


def clean_code(code: str) -> str:
    """Code without half characters, which JSON can hold but no parser accepts."""
    return code.encode("utf-8", "replace").decode()
