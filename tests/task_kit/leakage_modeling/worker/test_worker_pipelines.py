"""Numbers and pipelines that come out of a worker: what is fitted and predicted, and what is refused."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import numpy as np
import pytest

from task_kit.leakage_modeling.worker.fitter import PipelineError, SandboxStopped
from task_kit.leakage_modeling.worker.limits import CallLimits
from task_kit.leakage_modeling.worker.worker import Refused, Workers
from tests.task_kit.leakage_modeling.worker.code import estimator

if TYPE_CHECKING:
    from task_kit.leakage_modeling.worker.worker import Worker
    from task_kit.leakage_modeling.worlds.world import World
    from task_kit.sandbox import Zygote

PIPELINE = """
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
pipeline = make_pipeline(make_column_transformer(("passthrough", ["num_0", "num_1"])), LogisticRegression())
"""


def test_numbers_of_a_variable_come_out_as_they_are(shared: Worker) -> None:
    shared.run("a = np.array([[0.1, 0.2], [np.nan, np.inf]]); s = pd.Series([1, 0]); t = (0.25, 1)")

    np.testing.assert_array_equal(shared.value("a"), [[0.1, 0.2], [np.nan, np.inf]])
    np.testing.assert_array_equal(shared.value("s"), [1.0, 0.0])
    np.testing.assert_array_equal(shared.value("t"), [0.25, 1.0])


def test_a_variable_with_too_many_numbers_is_refused_where_it_is(
    shared: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("task_kit.leakage_modeling.worker.worker.MOST_NUMBERS", 10)
    shared.run("few, many = np.zeros(10), np.zeros((11, 1))")

    assert shared.value("few").shape == (10,)
    with pytest.raises(Refused, match=r"many: found shape \(11, 1\), more numbers than"):
        shared.value("many")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("v = ['0.5']", "expected numbers"),
        ("v = [True]", "expected numbers"),
        ("v = [1, [2]]", "inhomogeneous"),
        ("v = [object()]", "expected numbers"),
        ("v = [1j]", "expected numbers"),
        ("class V:\n    def __array__(self, *a, **k): raise ValueError('mine')\nv = V()", "mine"),
        ("import sys\nclass V:\n    def __array__(self, *a, **k): sys.exit()\nv = V()", "SystemExit"),
        ("value = 1; del globals()['v']", "there is no variable 'v'"),
    ],
)
def test_what_is_no_number_is_refused_with_the_reason(shared: Worker, code: str, why: str) -> None:
    shared.run("v = 1")
    shared.run(code)

    with pytest.raises(Refused, match=why):
        shared.value("v")


def test_predictions_are_those_of_a_clone_fitted_on_the_train_rows(shared: Worker, world: World) -> None:
    """Whatever the agent did to its own copy of the table, or fitted before."""
    shared.run(PIPELINE + "pipeline.fit(train_df, train_df.target)\nclean = pipeline.predict_proba(test_df)[:, 1]")
    shared.run(
        "train_df['target'] = 1 - train_df['target']; train_df['num_0'] = 0.0; pipeline.fit(train_df, 1 - train_df.target)"
    )

    hidden, test = shared.fit_predict("pipeline", frames=[world.hidden, world.test])

    np.testing.assert_array_equal(test, shared.value("clean"))
    assert hidden.shape == (4000,)


CHANNELS = {
    "its own fields": ("self.seen_ = []", "self.seen_.append(1)", "len(self.seen_) / 10"),
    "a file": ("pass", "open('/tmp/seen', 'a').write('x')", "len(open('/tmp/seen').read()) / 10"),
    "shared memory": (
        "pass",
        "import mmap, os; fd = os.open('/dev/shm/seen', os.O_CREAT | os.O_APPEND | os.O_RDWR); os.write(fd, b'x')",
        "os.path.getsize('/dev/shm/seen') / 10",
    ),
}


@pytest.mark.parametrize(("fit", "predict", "p"), CHANNELS.values(), ids=CHANNELS)
def test_what_a_pipeline_sees_in_one_frame_is_unknown_in_the_next(
    shared: Worker, world: World, fit: str, predict: str, p: str
) -> None:
    shared.run(estimator(fit=fit, predict=predict, p=p))

    found = shared.fit_predict("pipeline", frames=[world.test] * 3)

    assert {float(value) for values in found for value in values} == {0.1}


def test_a_pipeline_is_fitted_where_the_training_table_lies_alone(shared: Worker, world: World) -> None:
    """Neither a frame that is asked about nor the test rows are anywhere in the memory of that process."""
    shared.run(
        estimator(
            fit="import gc; self.sizes_ = sorted({len(x) for x in gc.get_objects() if isinstance(x, pd.DataFrame)})",
            p="0.5 if self.sizes_ == [800] else 0.1",
        )
    )

    found = shared.fit_predict("pipeline", frames=[world.test, world.hidden])

    assert {float(value) for values in found for value in values} == {0.5}


def test_a_process_that_waits_where_frames_are_predicted_sees_none_of_them(shared: Worker, world: World) -> None:
    """A thread or a process that was started while fitting is not there when a frame comes."""
    shared.run(
        estimator(
            fit="import os; os.fork() or __import__('time').sleep(30)",
            predict="import os; count = len([name for name in os.listdir('/proc') if name.isdigit()])",
            p="count / 100",
        )
    )

    found = shared.fit_predict("pipeline", frames=[world.test] * 2)

    assert max(float(values.max()) for values in found) <= 0.03  # its supervisor and itself


def test_what_was_accepted_is_what_is_fitted_whatever_becomes_of_the_session(worker: Worker, world: World) -> None:
    worker.run(estimator(p="0.5"))
    worker.check_pipeline("pipeline")
    worker.run(estimator(p="0.9"))
    worker.close()

    [found] = worker.fit_predict("pipeline", frames=[world.test])

    assert set(found.tolist()) == {0.5}


def test_a_pipeline_that_cannot_be_copied_is_refused_while_it_can_be_mended(shared: Worker) -> None:
    shared.run(estimator() + "Own.rows = (row for row in [])")

    with pytest.raises(Refused, match="pipeline: cannot be copied to the process that fits it"):
        shared.check_pipeline("pipeline")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (estimator(fit="raise ValueError('no')"), "fit failed: ValueError: no"),
        (estimator(predict="raise ValueError('no')"), "predict failed: ValueError: no"),
        (estimator(predict="frame = frame.iloc[1:]"), "shape"),
        (estimator(fit="self.rows = (row for row in [])"), "fit failed: TypeError"),
        ("pipeline = 3", "without fit"),
        ("pipeline = None; del pipeline", "there is no variable"),
    ],
)
def test_a_pipeline_that_breaks_its_contract_is_told_why(shared: Worker, world: World, code: str, why: str) -> None:
    shared.run(code)

    with pytest.raises(PipelineError, match=why) as caught:
        shared.fit_predict("pipeline", frames=[world.test])

    assert caught.value.reason_code == "pipeline_contract"
    assert shared.alive


@pytest.mark.parametrize("where", ["fit", "predict"])
@pytest.mark.parametrize(("what", "reason"), [("import time; time.sleep(60)", "timeout"), ("while True: pass", "cpu")])
def test_a_pipeline_that_never_ends_is_stopped(
    nursery: Zygote, world: World, where: str, what: str, reason: str
) -> None:
    worker = Workers(nursery, limits=CallLimits(fit_s=0.2, predict_s=0.2)).start(world)
    worker.run(estimator(**{where: what}))

    with pytest.raises(SandboxStopped) as caught:
        worker.fit_predict("pipeline", frames=[world.test])

    assert caught.value.reason == reason
    worker.close()


@pytest.mark.parametrize(("where", "reason"), [("fit", "exit"), ("predict", "exit")])
def test_a_pipeline_that_ends_its_process_is_told(shared: Worker, world: World, where: str, reason: str) -> None:
    shared.run(estimator(**{where: "import os; os._exit(0)"}))

    with pytest.raises(SandboxStopped) as caught:
        shared.fit_predict("pipeline", frames=[world.test])

    assert caught.value.reason == reason
    assert shared.alive


def test_jobs_in_parallel_are_done_one_after_the_other(shared: Worker, world: World) -> None:
    """`n_jobs=-1` is in every second notebook; processes of its own would outlive a call."""
    shared.run(
        dedent("""
        from sklearn.model_selection import GridSearchCV
        from sklearn.linear_model import LogisticRegression
        from sklearn.compose import make_column_transformer
        from sklearn.pipeline import make_pipeline
        grid = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, n_jobs=-1)
        pipeline = make_pipeline(make_column_transformer(("passthrough", ["num_0"])), grid)
        """)
    )

    [found] = shared.fit_predict("pipeline", frames=[world.test])

    assert found.shape == (200,)
