from __future__ import annotations

from pathlib import Path

import pytest

from profiler.core.errors import LogError
from profiler.storage.reading.read_logs import BLOCK, read_outcomes

COUNT = 5
OPEN_FILES = Path("/proc/self/fd")


def write(folder: Path, name: str, *, last: bytes = b"", at: int = COUNT) -> None:
    lines = [b'{"dialogue_id":"d%d","index":%d,"type":"answer","completion":"x"}\n' % (i, i) for i in range(COUNT)]
    (folder / name).write_bytes(b"".join([*lines[:at], *([last] if last else []), *lines[at + 1 :]]))


@pytest.mark.parametrize("wrong", ["requests.jsonl", "responses.jsonl"])
def test_a_line_that_is_wrong_is_named_by_its_number(tmp_path: Path, wrong: str) -> None:
    for name in ("requests.jsonl", "responses.jsonl"):
        write(tmp_path, name, last=b"[]\n" if name == wrong else b"", at=3)

    with pytest.raises(LogError, match=rf"{wrong}:4: is not a line of this log"):
        list(read_outcomes(tmp_path))


def test_what_stands_before_a_wrong_line_is_read(tmp_path: Path) -> None:
    write(tmp_path, "requests.jsonl")
    write(tmp_path, "responses.jsonl", last=b"{\n", at=3)
    outcomes = read_outcomes(tmp_path)

    assert [next(outcomes).dialogue_id for _ in range(3)] == ["d0", "d1", "d2"]


def test_a_torn_line_is_named_by_its_number(tmp_path: Path) -> None:
    write(tmp_path, "requests.jsonl")
    write(tmp_path, "responses.jsonl", last=b'{"dialogue', at=4)

    with pytest.raises(LogError, match=r"responses.jsonl:5: is cut off"):
        list(read_outcomes(tmp_path))


def test_every_field_arrives_in_its_place(tmp_path: Path) -> None:
    asked = {"required_facts": ("f",), "expect_refusal": True, "tags": ("t",), "metadata": {"k": 1}}
    (tmp_path / "requests.jsonl").write_bytes(
        b'{"dialogue_id":"d","index":0,"required_facts":["f"],"expect_refusal":true,"tags":["t"],"metadata":{"k":1}}\n'
    )
    got = {
        "type": "error",
        "completion": "c",
        "replies": ("r",),
        "stop_reason": "s",
        "usage": {"input_tokens": 1},
        "latency_s": 2.0,
        "queue_s": 3.0,
        "attempts": 4,
        "cost_usd": 5.0,
    }
    (tmp_path / "responses.jsonl").write_bytes(
        b'{"dialogue_id":"d","index":0,"type":"error","completion":"c","replies":["r"],"stop_reason":"s",'
        b'"usage":{"input_tokens":1},"latency_s":2.0,"queue_s":3.0,"attempts":4,"cost_usd":5.0,'
        b'"error":{"type":"timeout","message":"m"}}\n'
    )
    (outcome,) = read_outcomes(tmp_path)

    assert {name: getattr(outcome, name) for name in asked | got} == asked | got
    assert outcome.error is not None
    assert outcome.error.type == "timeout"


@pytest.mark.parametrize(("last", "told"), [(b"[]\n", "is not a line of this log"), (b'{"dialogue', "is cut off")])
def test_a_wrong_line_far_behind_is_named_by_its_number_after_all_before_it(
    tmp_path: Path, last: bytes, told: str
) -> None:
    count = 3 * BLOCK // 40
    for name in ("requests.jsonl", "responses.jsonl"):
        lines = [b'{"dialogue_id":"d%d","index":%d,"type":"answer"}\n' % (i, i) for i in range(count)]
        (tmp_path / name).write_bytes(b"".join([*lines, last if name == "responses.jsonl" else lines[-1]]))
    seen: list[str] = []

    with pytest.raises(LogError, match=rf"responses.jsonl:{count + 1}: {told}"):
        seen.extend(each.dialogue_id for each in read_outcomes(tmp_path))
    assert seen == [f"d{i}" for i in range(count)]
    if not last.endswith(b"\n"):
        assert len(list(read_outcomes(tmp_path, complete=False))) == count


def test_who_has_caught_what_is_wrong_with_one_log_holds_none_of_them_open(tmp_path: Path) -> None:
    write(tmp_path, "requests.jsonl", last=b"no JSON\n")
    write(tmp_path, "responses.jsonl")
    with pytest.raises(LogError) as caught:
        list(read_outcomes(tmp_path))
    still_open = [path.resolve() for path in OPEN_FILES.iterdir() if path.is_symlink()]
    assert caught.value.__traceback__ is not None  # its frames are alive, and hold what they held
    assert not [path for path in still_open if path.parent == tmp_path.resolve()]
