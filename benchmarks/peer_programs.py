"""The programs that are compared over HTTP (the peers), how one of them runs, and how its answers are checked.

Each leg is measured in a process of its own, which must answer every dialogue with the right text and ask for none
twice.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks import live, workload
from benchmarks.process import ROOT, ChildFailed
from profiler.provider.mock_server.static_answer import STATIC

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.figure import Scale
    from benchmarks.serving import Serving

PEERS = ROOT / ".venv-peers"
PINS = ROOT / "benchmarks" / "peers" / "requirements.txt"
STAMP = PEERS / ".made-from"
WARM_UP = 32


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A program in `benchmarks.peers`."""

    name: str
    module: str
    lane: str = "fast"
    foreign: bool = False  # needs packages that are not among our own pins


FAST = Peer(name="fast_lane", module="ours")
STREAM_LANE = Peer(name="stream_lane", module="ours", lane="stream")
SDK_STREAM_LANE = Peer(name="sdk_stream_lane", module="ours", lane="sdk-stream")
SDK_LANE = Peer(name="sdk_lane", module="ours", lane="sdk")
SDK_LOOP = Peer(name="sdk_loop", module="plain_sdk")
SOCKETS = Peer(name="sockets", module="raw_sockets")
AIOHTTP = Peer(name="aiohttp", module="aiohttp_bare", foreign=True)
PYREQWEST = Peer(name="pyreqwest", module="pyreqwest_bare", foreign=True)
ASYNC_BATCH = Peer(name="async_batch_llm", module="async_batch", foreign=True)
INSPECT = Peer(name="inspect_ai", module="inspect_eval", foreign=True)
LITELLM = Peer(name="litellm", module="litellm_loop", foreign=True)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One leg: a number of dialogues, and how many of them are in flight."""

    count: int
    in_flight: int


class Took(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of one leg."""

    count: int
    wall_s: float
    cpu_s: float
    peak_mb: float

    @property
    def rate(self) -> float:
        return self.count / self.wall_s

    @property
    def cpu_ms(self) -> float:
        """CPU time of the client's process for one dialogue."""
        return self.cpu_s / self.count * 1e3


class WrongAnswers(Exception):
    """A peer did other work than it was given, so its speed says nothing."""


class Course:
    """What peers are measured on: a server, dialogues by number, and the texts that they must get."""

    def __init__(
        self,
        scale: Scale,
        server: Serving,
        *,
        dataset: Callable[[int], Path],
        expected: Callable[[Path], dict[str, str]],
        turns: int = 1,
    ) -> None:
        self._scale = scale
        self._server = server
        self.dataset = dataset
        self.expected = expected
        self._turns = turns

    def take(self, peer: Peer, asked: Sequence[Asked]) -> list[Took]:
        """Run the legs in one fresh process, after a leg that only warms it up."""
        self._server.reset()
        legs = [Asked(count=WARM_UP, in_flight=asked[0].in_flight), *asked]
        with tempfile.TemporaryDirectory(dir=self._scale.folder) as folder:
            files = [Path(folder) / f"answers-{number}.jsonl" for number in range(len(legs))]
            told = run_legs(peer, [self._leg(peer, leg, file) for leg, file in zip(legs, files, strict=True)])
            for leg, file in zip(legs, files, strict=True):
                check_answers(file, self.expected(self.dataset(leg.count)), by=peer.name)
        self._check_calls(peer, sum(leg.count for leg in legs) * self._turns)
        return [Took(count=leg.count, **took) for leg, took in zip(asked, told[1:], strict=True)]

    def _leg(self, peer: Peer, leg: Asked, file: Path) -> dict[str, Any]:
        return {
            "base_url": self._server.base_url,
            "dataset": str(self.dataset(leg.count)),
            "answers": str(file),
            "in_flight": leg.in_flight,
            "model": workload.MODEL,
            "max_tokens": workload.MAX_TOKENS,
            "lane": peer.lane,
        }

    def _check_calls(self, peer: Peer, expected: int) -> None:
        found = self._server.stats()["requests"]["by_endpoint"].get("/v1/messages", 0)
        if found != expected:
            raise WrongAnswers(f"{peer.name} made {found:,} calls, expected {expected:,}")


def static_course(scale: Scale, server: Serving) -> Course:
    """Any number of dialogues, which all get the same answer."""

    def expected(dataset: Path) -> dict[str, str]:
        with dataset.open("rb") as lines:
            return {workload.dialogue_id(number): STATIC["content"][0]["text"] for number, _ in enumerate(lines)}

    return Course(scale, server, dataset=partial(workload.dialogues, scale), expected=expected)


def check_answers(file: Path, expected: dict[str, str], *, by: str) -> None:
    """Every dialogue must be answered once, with its own text, in any order."""
    with file.open("rb") as lines:
        found = [(row["dialogue_id"], row["completion"]) for row in map(json.loads, lines)]
    if len(found) != len(expected):
        raise WrongAnswers(f"{by} gave {len(found):,} answers, expected {len(expected):,}")
    answers = dict(found)
    for dialogue_id, text in expected.items():
        if answers.get(dialogue_id) != text:
            raise WrongAnswers(f"{by} answered {dialogue_id} with {answers.get(dialogue_id)!r}, expected {text!r}")


def present(scale: Scale, peers: Sequence[Peer]) -> list[Peer]:
    """The peers that can run here; the report names the others."""
    # The stamp holds the pins that the environment was made from: one of older pins counts as not installed.
    made = scale.peers and STAMP.is_file() and STAMP.read_bytes() == PINS.read_bytes()
    absent = [peer.name for peer in peers if peer.foreign and not made]
    if absent:
        why = "`make bench-peers` installs what they need" if scale.peers else "nobody asked for them"
        scale.say(f"left out: {', '.join(absent)}; {why}")
    return [peer for peer in peers if peer.name not in absent]


def run_legs(peer: Peer, legs: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Run legs in a process of their own, and return what each of them took."""
    python = str(PEERS / "bin" / "python") if peer.foreign else sys.executable
    command = [python, "-m", f"benchmarks.peers.{peer.module}", json.dumps(legs)]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **live.ENVIRON}, capture_output=True, check=False, text=True
    )
    if ended.returncode:
        raise ChildFailed(f"{peer.name} ended with exit code {ended.returncode}: {ended.stderr[-2000:]}")
    return [json.loads(line) for line in ended.stdout.splitlines()]
