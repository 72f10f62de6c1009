from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from profiler.storage.journal import FORMAT, Header
from profiler.storage.names import REQUESTS, RESPONSES
from profiler.storage.writing import kept_lines
from profiler.storage.writing.kept_lines import cut_requests, cut_responses
from tests.profiler.building import line_of, record, request_line

HEADER = Header(journal=FORMAT, count=9, identity={}, started=None, first=3)
END = HEADER.first + HEADER.count

kinds = st.sampled_from(["good", "bad", "elsewhere", "without index", "torn", "without end"])
any_lines = st.lists(kinds, max_size=6) | st.lists(kinds, max_size=6).map(lambda last: ["good"] * 6 + last)


@pytest.mark.parametrize("block", [1, 500, 1 << 16])
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=any_lines, answered=any_lines)
@example(asked=["good"] * 10, answered=["without index"] * 10)
@example(asked=["good", "without end"], answered=["good", "without index", "good", "bad", "good"])
def test_lines_are_kept_up_to_the_first_that_is_wrong_however_they_are_read(
    monkeypatch: pytest.MonkeyPatch, block: int, asked: list[str], answered: list[str]
) -> None:
    monkeypatch.setattr(kept_lines, "BLOCK", block)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        notes: list[str] = []
        requests, responses = Path(folder) / REQUESTS, Path(folder) / RESPONSES
        requests.write_bytes(b"".join(question(kind, at) for at, kind in enumerate(asked, HEADER.first)))
        responses.write_bytes(b"".join(answer(kind, at) for at, kind in enumerate(answered, HEADER.first)))
        wanted = standing(asked, good={"good"}), standing(answered, good={"good", "without index"})
        _, found = cut_requests(requests, HEADER, notes=notes, opened=opened)
        cut_responses(responses, HEADER, notes=notes, opened=opened)
        assert (found, requests.read_bytes()) == (
            wanted[0],
            b"".join(question("good", HEADER.first + n) for n in range(found)),
        )
        assert responses.read_bytes() == b"".join(
            answer(kind, at) for at, kind in enumerate(answered[: wanted[1]], HEADER.first)
        )
        assert len(notes) == (wanted[0] < len(asked)) + (wanted[1] < len(answered))


def standing(kinds: list[str], *, good: set[str]) -> int:
    """How many lines stand before the first that does not, or has no place."""
    return next((n for n, kind in enumerate(kinds) if kind not in good or n == HEADER.count), len(kinds))


def question(kind: str, at: int) -> bytes:
    return spoiled(kind, line_of(request_line(at)), line_of(request_line(at + 1)))


def answer(kind: str, at: int) -> bytes:
    return spoiled(kind, line_of(record(at)), line_of(record(at + 1)))


def spoiled(kind: str, line: bytes, next_line: bytes) -> bytes:
    if kind == "without index":
        found = msgspec.json.decode(line)
        return msgspec.json.encode({name: value for name, value in found.items() if name != "index"}) + b"\n"
    return {"good": line, "bad": b"{" + line, "elsewhere": next_line, "torn": line[:-9], "without end": line[:-1]}[kind]
