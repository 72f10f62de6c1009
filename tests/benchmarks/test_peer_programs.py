"""That a peer gets no figure for work that it did not do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import peer_programs
from benchmarks.figure import Scale
from benchmarks.peer_programs import Asked, Course, Peer, WrongAnswers, check_answers
from benchmarks.peers import legs
from benchmarks.process import ROOT
from benchmarks.serving import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPECTED = {"a": "one", "b": "two"}
PINS = ROOT / "benchmarks" / "peers" / "requirements.txt"


def answers(folder: Path, *pairs: tuple[str, str]) -> Path:
    file = folder / "answers.jsonl"
    with file.open("w", encoding="utf-8") as lines:
        for dialogue_id, text in pairs:
            legs.write_answer(lines, dialogue_id, text)
    return file


def test_the_right_answers_pass_in_any_order(tmp_path: Path) -> None:
    check_answers(answers(tmp_path, ("b", "two"), ("a", "one")), EXPECTED, by="it")


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [
        ([("a", "one")], "it gave 1 answers, expected 2"),
        ([("a", "one"), ("b", "two"), ("b", "two")], "it gave 3 answers, expected 2"),
        ([("a", "one"), ("a", "one")], "it answered b with None, expected 'two'"),
        ([("a", "two"), ("b", "one")], "it answered a with 'two', expected 'one'"),
    ],
)
def test_other_answers_do_not(tmp_path: Path, pairs: list[tuple[str, str]], complaint: str) -> None:
    with pytest.raises(WrongAnswers, match=complaint):
        check_answers(answers(tmp_path, *pairs), EXPECTED, by="it")


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving("--static") as started:
        yield started


@pytest.mark.parametrize("peer", [peer_programs.SOCKETS, peer_programs.FAST], ids=lambda peer: peer.name)
def test_a_peer_is_measured_on_the_same_dialogues(tmp_path: Path, server: Serving, peer: Peer) -> None:
    course = peer_programs.static_course(Scale(folder=tmp_path), server)

    few, more = course.take(peer, [Asked(count=50, in_flight=4), Asked(count=80, in_flight=8)])

    assert (few.count, more.count) == (50, 80)
    assert server.stats()["replies"]["by_status"] == {"200": peer_programs.WARM_UP + 50 + 80}
    assert few.cpu_ms > 0
    assert few.rate == 50 / few.wall_s
    assert few.peak_mb > 1


def test_a_call_too_many_is_seen(tmp_path: Path, server: Serving) -> None:
    fair = peer_programs.static_course(Scale(folder=tmp_path), server)
    course = Course(Scale(folder=tmp_path), server, dataset=fair.dataset, expected=fair.expected, turns=2)

    with pytest.raises(WrongAnswers, match="sockets made 42 calls, expected 84"):
        course.take(peer_programs.SOCKETS, [Asked(count=10, in_flight=2)])


def test_foreign_peers_are_left_out_with_a_word(tmp_path: Path) -> None:
    scale = Scale(folder=tmp_path, peers=False)

    assert peer_programs.present(scale, [peer_programs.FAST, peer_programs.AIOHTTP, peer_programs.LITELLM]) == [
        peer_programs.FAST
    ]
    assert scale.words == ["left out: aiohttp, litellm; nobody asked for them"]


def test_peers_of_older_pins_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = tmp_path / ".made-from"
    stamp.write_bytes(PINS.read_bytes() + b"\n")
    monkeypatch.setattr(peer_programs, "STAMP", stamp)
    scale = Scale(folder=tmp_path)

    assert peer_programs.present(scale, [peer_programs.AIOHTTP]) == []
    assert scale.words == ["left out: aiohttp; `make bench-peers` installs what they need"]


def test_peers_of_these_pins_take_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = tmp_path / ".made-from"
    stamp.write_bytes(PINS.read_bytes())
    monkeypatch.setattr(peer_programs, "STAMP", stamp)
    scale = Scale(folder=tmp_path)

    assert peer_programs.present(scale, [peer_programs.AIOHTTP]) == [peer_programs.AIOHTTP]
    assert scale.words == []


def test_every_peer_is_a_program() -> None:
    peers = [value for value in vars(peer_programs).values() if isinstance(value, Peer)]

    assert [peer.name for peer in peers if not (ROOT / "benchmarks" / "peers" / f"{peer.module}.py").is_file()] == []


def test_every_wanted_peer_is_pinned_with_hashes() -> None:
    wanted = (PINS.with_suffix(".in")).read_text(encoding="utf-8").splitlines()
    blocks = re.split(r"\n(?! )", PINS.read_text(encoding="utf-8"))
    pinned = {block.partition("==")[0] for block in blocks if "--hash=sha256:" in block}

    assert {name for name in wanted if not name.startswith("#")} <= pinned
    assert [block for block in blocks if block and not block.startswith("#") and "--hash=" not in block] == []
    assert "://" not in PINS.read_text(encoding="utf-8")


def test_the_wording_of_a_leg_is_the_engines(tmp_path: Path) -> None:
    """What the loops send is what the engine plans, so all bodies are alike."""
    from benchmarks import workload  # noqa: PLC0415
    from profiler.dataset import file as dataset  # noqa: PLC0415
    from profiler.provider.requests import Planner, params_of  # noqa: PLC0415

    path = tmp_path / "one.jsonl"
    path.write_bytes(workload.dialogue(7))
    leg = legs.Leg(
        base_url="", dataset=str(path), answers="", in_flight=1, model=workload.MODEL, max_tokens=workload.MAX_TOKENS
    )
    experiment = workload.experiment(path)
    with dataset.reading(path) as dialogues:
        planned = next(Planner(params_of(experiment), system=experiment.system).plan(dialogues))

    assert leg.request(next(leg.dialogues())) == json.loads(planned.body)
