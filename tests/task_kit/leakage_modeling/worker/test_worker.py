"""`worker` and `inside`, in a real box: what an agent can do in its worker, and what it cannot do to anybody."""

from __future__ import annotations

import json
import threading
from textwrap import dedent
from typing import TYPE_CHECKING

import numpy as np
import pytest

from task_kit.leakage_modeling.worker.fitter import PipelineError, SandboxStopped
from task_kit.leakage_modeling.worker.limits import CallLimits
from task_kit.leakage_modeling.worker.parcel import LARGEST, MOST_BLOBS
from task_kit.leakage_modeling.worker.replies import LONGEST_SAID
from task_kit.leakage_modeling.worker.worker import Refused, Workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from task_kit.leakage_modeling.worker.worker import Ran, Worker
    from task_kit.leakage_modeling.worlds.world import World
    from task_kit.sandbox import Zygote

PIPELINE = """
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
pipeline = make_pipeline(make_column_transformer(("passthrough", ["num_0", "num_1"])), LogisticRegression())
"""
ESTIMATOR = """
from sklearn.base import BaseEstimator, ClassifierMixin

class Own(ClassifierMixin, BaseEstimator):
    classes_ = (0, 1)
    def fit(self, frame, y):
        {fit}
        return self
    def predict_proba(self, frame):
        {predict}
        p = np.full(len(frame), {p})
        return np.column_stack([1 - p, p])

pipeline = Own()
"""
DEAF = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGPROF])\nwhile True: pass"


def estimator(*, fit: str = "pass", predict: str = "pass", p: str = "0.5") -> str:
    return ESTIMATOR.format(fit=fit, predict=predict, p=p)


@pytest.fixture(scope="module")
def shared(nursery: Zygote, world: World) -> Iterator[Worker]:
    """For what leaves nothing behind."""
    worker = Workers(nursery, limits=CallLimits(run_s=20)).start(world)
    yield worker
    worker.close()


# --- code and what it says -------------------------------------------------------------------------------------------


def test_variables_live_on_and_the_last_expression_is_shown(shared: Worker) -> None:
    assert shared.run("kept = train_df.shape").stdout == ""
    assert shared.run("print('first')\nkept").stdout == "first\n(800, 11)\n"


def test_an_exception_is_a_short_traceback_and_spares_the_variables(shared: Worker) -> None:
    ran = shared.run("mark = 5\ndef f(x):\n    return 1 / x\nf(0)\n")

    assert ran.alive
    assert ran.error is not None
    assert ran.error.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "return 1 / x" in ran.error
    assert "task_kit" not in ran.error
    assert shared.run("mark").stdout == "5\n"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 +", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def f(): return f()\nf()", "RecursionError"),
        ("class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "E: <exception str() failed>"),
        ("'\\ud800'.encode()", "UnicodeEncodeError"),
        ("[0] * 10**10", "MemoryError"),
    ],
)
def test_whatever_code_raises_is_an_answer(shared: Worker, code: str, said: str) -> None:
    ran = shared.run(code)

    assert ran.error is not None
    assert said in ran.error
    assert len(ran.error) < 3_000
    assert ran.alive


def test_output_is_cut_with_a_word_about_it(shared: Worker) -> None:
    ran = shared.run("print('x' * 9_999, end='')")

    assert ran.stdout == "x" * 8_000 + "\n… 1999 more characters were cut: only the first 8000 are shown"


def test_half_a_character_in_the_output_is_replaced(shared: Worker) -> None:
    assert shared.run("print('a\\ud800b')").stdout == "a?b\n"


# --- hangs, explosions, ends ------------------------------------------------------------------------------------------


def test_a_long_line_of_code_is_cut_in_a_traceback(shared: Worker) -> None:
    error = shared.run("raise ValueError  # " + "x" * 20_000).error or ""

    assert len(error) < 1_000
    assert "raise ValueError" in error


def test_a_hanging_call_is_stopped_and_its_variables_stay(worker: Worker) -> None:
    worker.run("kept = 1")

    ran = worker.run("while True:\n    pass")

    assert ran.error == "stopped after 0.5 s of computing; variables that were set before are still there"
    assert worker.run("kept").stdout == "1\n"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os._exit(0)", "exit"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit"),
        ("import os; os.write(1, b'x' * 10**6)", "output"),
    ],
)
def test_a_worker_that_ends_is_replaced_by_a_fresh_one(worker: Worker, code: str, reason: str) -> None:
    worker.run("lost = 1")

    ran = worker.run(code)

    assert (ran.reason, ran.alive) == (reason, True)
    assert "all variables are gone" in (ran.error or "")
    assert "NameError" in (worker.run("lost").error or "")
    assert worker.run("len(test_df)").stdout == "200\n"


def test_more_memory_than_there_is_gives_an_error_and_no_more(shared: Worker) -> None:
    ran = shared.run("kept = []\nwhile True:\n    kept.append(np.empty(5 * 10**7))")

    assert "MemoryError" in (ran.error or "")
    assert shared.run("del kept\n1 + 1").stdout == "2\n"


def test_a_worker_that_dies_too_often_is_not_started_again(worker: Worker) -> None:
    ran = [worker.run("import os; os._exit(1)") for _ in range(3)]

    assert [one.alive for one in ran] == [True, True, False]
    assert "It will not be started again" in (ran[-1].error or "")
    with pytest.raises(Refused, match="no worker any more"):
        worker.value("x")


def test_a_hanging_worker_is_replaced_by_a_fresh_one_and_does_not_hold_up_another(
    nursery: Zygote, world: World, shared: Worker
) -> None:
    worker = Workers(nursery, limits=CallLimits(run_s=0.5, patience=6.0)).start(world)
    worker.run("lost = 1")
    found: list[Ran] = []
    hanging = threading.Thread(target=lambda: found.append(worker.run(DEAF)))
    hanging.start()

    shared.run("sum(range(1000))")

    assert hanging.is_alive()
    hanging.join(timeout=60)
    assert [(ran.reason, ran.alive) for ran in found] == [("timeout", True)]
    assert "NameError" in (worker.run("lost").error or "")
    worker.close()


def test_words_on_the_line_to_the_grader_end_the_worker(worker: Worker) -> None:
    """Code can find the socket. What it says there is not what was asked for, and is not believed."""
    ran = worker.run(
        "import os, socket, stat\n"
        "for fd in range(3, 64):\n"
        "    try:\n"
        "        if stat.S_ISSOCK(os.fstat(fd).st_mode):\n"
        '            head = b\'{"id": 1, "stdout": "forged", "cut": 0, "error": null, "blobs": []}\'\n'
        "            message = len(head).to_bytes(4, 'big') + head\n"
        "            os.write(fd, len(message).to_bytes(8, 'big') + message)\n"
        "    except OSError:\n"
        "        pass\n"
    )

    assert (ran.reason, ran.stdout) == ("protocol", "")


ON_THE_LINE = """
import os, stat
for fd in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            os.write(fd, {message})
    except OSError:
        pass
"""


def test_a_worker_that_announces_too_much_and_lives_on_is_ended(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its box would live for a day, and whoever waits for its end would, too."""
    monkeypatch.setattr("task_kit.leakage_modeling.worker.box.END_S", 0.2)
    code = ON_THE_LINE.format(message=(LARGEST + 1).to_bytes(8, "big")) + DEAF
    found: list[Ran] = []
    waiting = threading.Thread(target=lambda: found.append(worker.run(code)), daemon=True)
    waiting.start()

    waiting.join(timeout=20)

    assert [ran.reason for ran in found] == ["exit"]


@pytest.mark.parametrize(
    "said",
    [
        {"stdout": "", "cut": 0, "error": "e" * (LONGEST_SAID + 1)},
        {"stdout": "", "cut": 0, "error": None, "blobs": [0] * (MOST_BLOBS + 1)},
    ],
)
def test_a_worker_that_says_more_than_it_may_is_not_believed(worker: Worker, said: dict[str, object]) -> None:
    """What it says stands in transcripts, and a model pays to read it."""
    head = json.dumps({"id": 2, "blobs": [], **said}).encode()
    message = len(head).to_bytes(4, "big") + head

    assert worker.run(ON_THE_LINE.format(message=len(message).to_bytes(8, "big") + message)).reason == "protocol"


# --- nothing to find --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["task_kit", "grader", "profiler", "pytest", "msgspec", "anthropic", "entry"])
def test_the_project_and_its_tools_cannot_be_imported(shared: Worker, name: str) -> None:
    assert "ModuleNotFoundError" in (shared.run(f"import {name}").error or "")


# --- values and pipelines ---------------------------------------------------------------------------------------------


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
