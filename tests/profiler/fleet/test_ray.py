"""What of a run on a Ray cluster can be tried without one; `tests/ray` tries the rest on a real one."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from profiler.cli.main import build_parser, main
from profiler.core.errors import UsageError
from profiler.fleet.drivers.driver import Lost
from profiler.fleet.drivers.ray_driver import how_lost, on_ray
from profiler.fleet.drivers.ray_parts import Post, all_there_is, relayed, without_ray

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path


async def test_the_post_brings_reports_in_their_order_and_the_end_of_a_worker_behind_them() -> None:
    post = Post()
    await post.say(1, [b"a", b"b"])
    await post.say(2, [b"c"])
    await post.say(1, [], Lost("was lost"))

    with closing(post):
        assert await post.poll() == [(1, b"a"), (1, b"b"), (2, b"c"), (1, Lost("was lost"))]


async def test_commands_wait_for_a_worker_that_has_not_begun() -> None:
    post = Post()
    await post.tell(7, [b"job"])
    await post.tell(7, [b"grant"])

    with closing(post), anyio.move_on_after(0.01) as nothing:
        assert await post.hear(7) == [b"job", b"grant"]
        await post.hear(8)
    assert nothing.cancelled_caught


async def test_what_was_said_before_the_end_is_carried_and_then_it_is_over() -> None:
    say, said = anyio.create_memory_object_stream[bytes](2)
    with said:
        with say:
            say.send_nowait(b"last words")
        assert await all_there_is(said) == [b"last words"]
        with pytest.raises(anyio.EndOfStream):
            await all_there_is(said)


class FarPost:
    """As much of the post, as a task reaches it, as a relay needs: nobody commands anything."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.hear = self.say = self

    def remote(self, _: int, said: list[bytes] | None = None) -> Awaitable[object]:
        if said is None:
            return anyio.sleep_forever()
        self.said += said
        return checkpoint()


async def test_a_program_that_hangs_is_ended_by_the_task_that_speaks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is stopped does not even hear that its stdin has ended."""
    program = "import os, signal\nprint('begun', flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)\n"
    (tmp_path / "hanging.py").write_text(program)
    monkeypatch.syspath_prepend(str(tmp_path))
    post = FarPost()

    ended = await relayed(0, post, "hanging", patience_s=0.1)

    assert post.said == [b"begun"]
    assert ended.how == "has said nothing for 0.1 s and was ended by SIGKILL"


def test_a_program_that_a_task_starts_hears_nothing_of_ray() -> None:
    environ = {"RAY_AUTH_TOKEN": "t", "RAY_ADDRESS": "10.0.0.1:6379", "PATH": "/bin", "XRAY_": "x"}

    assert without_ray(environ) == {"PATH": "/bin", "XRAY_": "x"}


@pytest.mark.parametrize(
    ("kind", "said", "told"),
    [
        (
            "NodeDiedError",
            "Task failed because the node it was running on is dead. Node IP: 10.0.0.7, node ID: e55b8c. This can happen if …",
            "was lost with its node, 10.0.0.7",
        ),
        (
            "WorkerCrashedError",
            "The worker died unexpectedly.\nCheck logs.",
            "died: its process was killed, or crashed",
        ),
        ("OddError", "Something\nhappened. To find out\nwhat, read on", "was lost: OddError: Something happened"),
        ("OddError", "x" * 1000, f"was lost: OddError: {'x' * 280}"),
    ],
)
def test_what_ray_says_of_a_lost_worker_becomes_a_sentence(kind: str, said: str, told: str) -> None:
    error: Exception = type(kind, (Exception,), {})(said)
    assert how_lost(error) == told


async def test_without_ray_one_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(UsageError, match="--on ray needs Ray") as refused:
        async with on_ray(None)(tmp_path):
            pass

    assert refused.value.hint == "pip install 'experiment-profiler[ray]'"


@pytest.mark.parametrize(
    ("word", "address"), [("ray", ""), ("ray:10.0.0.1:6379", "10.0.0.1:6379"), ("ray:auto", "auto")]
)
def test_the_address_of_a_cluster_stands_behind_a_colon(word: str, address: str) -> None:
    assert build_parser().parse_args(["run", "--config", "m", "--processes", "2", "--on", word]).on == address


def test_another_kind_of_cluster_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["run", "--config", "m", "--on", "dask"])
    assert refused.value.code == 2
    assert "found 'dask', expected ray or ray:ADDRESS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--on", "ray"], "--on needs --processes"),
        (["--on", "ray", "--processes", "2", "--shard", "0/2"], "--on and --shard contradict each other"),
    ],
)
def test_on_goes_with_processes_alone(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", "configs/sample_experiment.yaml", *words]) == 2
    assert said in capsys.readouterr().err
