"""No input from a worker ends an episode as `error`: a trainer leaves those out, so a losing agent would void just the
episodes that it loses. Every frame, field and type of its replies is made up here, by chance and by malice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_kit.leakage_modeling.worker.parcel import pack
from task_kit.sandbox.spec import SandboxError
from tests.grader.leakage_modeling.grading.masking.made_up import FUZZ, HONEST, PLAYS, TEXTS, VALUES, Nursery, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_without_any_lie_the_episode_fails_by_its_score(tmp_path: Path, numbers: Iterator[int]) -> None:
    assert run(tmp_path, numbers, HONEST, *PLAYS).reason == "score"


KINDS = ("run", "value", "pack", "fit", "predict")


RAW = st.binary(max_size=60) | st.sampled_from(
    [
        b"",
        b"\xff\xff\xff\xff",
        (2).to_bytes(4, "big") + b"{}",
        (9).to_bytes(4, "big") + b'"\xed\xa0\x80"',
        (4000).to_bytes(4, "big") + b"[" * 4000,
        (5000).to_bytes(4, "big") + b'{"id": ' + b"9" * 4992 + b"}",
    ]
)


@FUZZ
@given(kind=st.sampled_from(KINDS), raw=RAW, blobs=st.lists(st.binary(max_size=20), max_size=3))
def test_no_bytes_of_a_worker_are_an_error(
    tmp_path: Path, numbers: Iterator[int], kind: str, raw: bytes, blobs: list[bytes]
) -> None:
    assert run(tmp_path, numbers, Nursery(kind, lambda *_: raw + b"".join(blobs), None), *PLAYS).status == "fail"


@FUZZ
@given(
    kind=st.sampled_from(KINDS),
    field=st.sampled_from(["id", "stdout", "cut", "error", "shape", "fault", "blobs", "\ud800"]),
    value=VALUES,
    left_out=st.none() | st.sampled_from(["id", "stdout", "cut", "error", "shape", "fault", "blobs"]),
    blobs=st.none() | st.lists(st.binary(max_size=16), max_size=2),
)
def test_no_field_of_a_worker_is_an_error(
    tmp_path: Path,
    numbers: Iterator[int],
    kind: str,
    field: str,
    value: Any,
    left_out: str | None,
    blobs: list[bytes] | None,
) -> None:
    """One field after the other holds something else, or there is one more or less, and the blobs are others."""

    def lie(said: dict[str, Any], found: list[bytes]) -> bytes:
        given_ = found if blobs is None else blobs
        changed = {"blobs": [len(blob) for blob in given_], **said, field: value}
        changed.pop(left_out or "", None)
        head = json.dumps(changed).encode()
        return len(head).to_bytes(4, "big") + head + b"".join(given_)

    run(tmp_path, numbers, Nursery(kind, lie, None), *PLAYS)


@FUZZ
@given(shape=st.lists(st.integers(-(10**30), 10**30) | st.sampled_from([0, 20, 10**30]), max_size=9))
def test_no_shape_of_a_value_is_an_error(tmp_path: Path, numbers: Iterator[int], shape: list[int]) -> None:
    def lie(said: dict[str, Any], found: list[bytes]) -> bytes:
        return pack({**said, "shape": shape}, [b"" if 0 in shape else found[0]])

    run(tmp_path, numbers, Nursery("value", lie, None), *PLAYS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fault", [EOFError("gone"), TimeoutError("silent"), ConnectionResetError("gone"), OSError("?")]
)
def test_no_end_of_a_worker_is_an_error(tmp_path: Path, numbers: Iterator[int], kind: str, fault: Exception) -> None:
    for end in (None, "memory", "disk", SandboxError("the report was lost")):
        assert run(tmp_path, numbers, Nursery(kind, lambda *_: fault, end), *PLAYS).status == "fail", end


@FUZZ
@given(
    kind=st.sampled_from(KINDS[3:]),
    fault=st.fixed_dictionaries({"kind": st.sampled_from(["slept", "computed", "contract"]) | TEXTS, "said": TEXTS}),
)
def test_no_fault_that_a_pipeline_makes_up_is_an_error(
    tmp_path: Path, numbers: Iterator[int], kind: str, fault: dict[str, str]
) -> None:
    def lie(said: dict[str, Any], found: list[bytes]) -> bytes:
        return pack({**said, "fault": fault})

    assert run(tmp_path, numbers, Nursery(kind, lie, None), *PLAYS).status == "fail"


def test_a_box_that_cannot_be_started_is_an_error_for_nothing_of_the_agents_ran_in_it(
    tmp_path: Path, numbers: Iterator[int]
) -> None:
    nursery = Nursery("session", lambda *_: TimeoutError("silent"), None)

    with pytest.raises(AssertionError, match="sandbox"):
        run(tmp_path, numbers, nursery, *PLAYS)
