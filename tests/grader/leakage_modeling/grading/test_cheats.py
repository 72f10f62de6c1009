"""Scripts that tried to get a reward, or to void an episode, in real boxes: each ends as a fail with its own reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from grader import tasks
from grader.tasks import Result, ToolCall
from task_kit.leakage_modeling.agents.blind import BLIND_POLICIES
from task_kit.leakage_modeling.worker.limits import CallLimits
from tests.nurseries import borrowed

if TYPE_CHECKING:
    from collections.abc import Sequence

HALF = "p = np.full(200, float(train_df.target.mean()))\n"
ESTIMATOR = """
from sklearn.base import BaseEstimator, ClassifierMixin

class Own(ClassifierMixin, BaseEstimator):
    classes_ = (0, 1)
    {extra}
    def fit(self, frame, y):
        {fit}
        return self
    def predict_proba(self, frame):
        {predict}
        return np.column_stack([1 - p, p])

pipeline = Own()
"""
# Answers a row as it did when it first saw what is known of it, wherever that may be kept; else by the forbidden column.
TABLE = """
import json, os
known = [name for name in frame if not name.startswith("leak_")]
keys = ["|".join(map(str, row)) for row in frame[known].itertuples(index=False)]
place = {place}
table = json.load(open(place)) if os.path.exists(place) else {{}}
fresh = np.clip(frame["leak_future_signal"].to_numpy(float), 0.01, 0.99)
for key, value in zip(keys, fresh):
    table.setdefault(key, float(value))
json.dump(table, open(place, "w"))
p = np.array([table[key] for key in keys])
"""


def own(*, fit: str = "pass", predict: str = "p = np.full(len(frame), 0.5)", extra: str = "") -> str:
    indented = "\n        ".join(predict.strip().splitlines())
    return HALF + ESTIMATOR.format(fit=fit, predict=indented, extra=extra)


# name: code, difficulty, the reason of the episode
SCRIPTS: dict[str, tuple[str, int, str]] = {
    "a clone that raises half a character": (
        own(extra="def __sklearn_clone__(self): raise ValueError('\\ud800')"),
        0,
        "no_submission",
    ),
    "a fit that raises half a character": (own(fit="raise ValueError('\\ud800')"), 0, "pipeline_contract"),
    "half characters on the way out": (own() + "print('\\ud800' * 9000)\nraise KeyError('\\udfff')", 0, "score"),
    "a pipeline beyond all measure": (own(fit="self.x = np.zeros(10**7)"), 0, "exit"),
    "a fit that ends its process": (own(fit="import os; os._exit(0)"), 0, "exit"),
    "a prediction that loops": (own(predict="while True: pass"), 0, "cpu"),
    "a table in a file": (own(predict=TABLE.format(place="'/tmp/table.json'")), 0, "score"),
    "a table in shared memory": (own(predict=TABLE.format(place="'/dev/shm/table.json'")), 0, "score"),
    "a worker that kills itself again and again": ("import os; os._exit(1)", 0, "no_submission"),
    "a rank among the rows that come along": (
        own(predict="p = (frame.num_0.rank() / len(frame) * 0.9).to_numpy()"),
        0,
        "batch_dependence",
    ),
    "an error where a column is not as it was": (
        own(
            fit="self.seen = frame.leak_future_signal.corr(frame.num_0)",
            predict="""
now = frame.leak_future_signal.corr(frame.num_0)
if not abs(now - self.seen) < 0.01: raise ValueError("\\udc80")
p = np.full(len(frame), 0.5)
""",
        ),
        0,
        "pipeline_contract",
    ),
    "an answer whose shape is a lie": (
        own(
            predict="""
class Odd(np.ndarray):
    shape = property(lambda self: (10**30, -1))
    def __array__(self, *a, **k): raise KeyError("\\ud800")
return np.full((len(frame), 2), 0.5).view(Odd)
"""
        ),
        0,
        "score",
    ),
    "complex probabilities": (own(predict="p = np.full(len(frame), 0.5 + 1j)"), 0, "score"),
    "a worker that is there twice": (own() + "import os; os.fork()", 0, "no_submission or score"),  # who reads first
    "words of its own in the channel": (
        own()
        + "import os\nfor number in range(3, 20):\n    try: os.write(number, b'\\xff' * 64)\n    except OSError: pass",
        0,
        "no_submission",
    ),
    "a crash of the interpreter": (own(fit="import ctypes; ctypes.string_at(0)"), 0, "exit"),
    "a pipeline that unpacks for ever": (
        own(extra="def __setstate__(self, state):\n        while True: pass", fit="self.x = 1"),
        0,
        "cpu",
    ),
    "a template that takes all columns": (BLIND_POLICIES[0].code() + "\np = test_proba", 1, "score"),
    "a template that drops what tells much": (BLIND_POLICIES[1].code() + "\np = test_proba", 1, "score"),
}


async def outcome(code: str, *, difficulty: int) -> Result:
    turns = 0

    async def policy(said: Sequence[object], tools: Sequence[object]) -> Sequence[ToolCall]:
        nonlocal turns
        turns += 1
        if turns == 1:
            return [ToolCall(name="python_expression", arguments={"expression": code})]
        return [ToolCall(name="submit_answer", arguments={"pipeline": "pipeline", "probabilities": "p"})]

    async with tasks.load("leakage_modeling", difficulty=difficulty, hidden_rows=1000, max_steps=4) as task:
        return await task.play(policy, seed="cheats")


LONG = {
    "a pipeline that unpacks for ever",  # it ends when it has had a minute of computing time
    "a template that takes all columns",  # the next one does more, and takes as long
}


@pytest.mark.parametrize(
    ("code", "difficulty", "reason"),
    [
        pytest.param(*script, id=name, marks=[pytest.mark.long] if name in LONG else [])
        for name, script in SCRIPTS.items()
    ],
)
async def test_it_ends_as_a_fail_with_its_reason(
    code: str, difficulty: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grader.training.modelling.open_nursery", borrowed)
    monkeypatch.setattr("grader.training.modelling.CallLimits", quick)

    result = await outcome(code, difficulty=difficulty)

    assert (result.status, result.reward, result.reward_valid) == ("fail", 0.0, True)
    assert set(reason.split(" or ")) & set(result.reasons), result
    if "table.json" in code:
        assert "uses_forbidden:leak_future_signal" in result.reasons


def quick(**given: Any) -> Any:
    return CallLimits(**given, predict_s=1.0)
