"""`worker` and `inside`, in a real box: what an agent can do in its worker, and what it cannot do to anybody."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from task_kit.leakage_modeling.worker.limits import CallLimits
from task_kit.leakage_modeling.worker.parcel import LARGEST, MOST_BLOBS
from task_kit.leakage_modeling.worker.replies import LONGEST_SAID
from task_kit.leakage_modeling.worker.worker import Refused, Workers

if TYPE_CHECKING:
    from task_kit.leakage_modeling.worker.worker import Ran, Worker
    from task_kit.leakage_modeling.worlds.world import World
    from task_kit.sandbox import Zygote

DEAF = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGPROF])\nwhile True: signal.pause()"


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
