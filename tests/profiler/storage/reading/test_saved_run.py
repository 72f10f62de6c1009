from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiler.core.errors import LogError
from profiler.metrics import summary
from profiler.metrics.builtin import BUILTIN
from profiler.metrics.reduction import Reduction, reduce_outcomes
from profiler.storage.reading.read_logs import read_outcomes
from profiler.storage.reading.saved_run import reduce_logs

ALL = tuple(BUILTIN.values())


def shown(reduction: Reduction) -> bytes:
    return orjson.dumps(summary.build(reduction, {}))


def write(folder: Path, requests: list[Any], responses: list[Any]) -> Path:
    for name, lines in (("requests.jsonl", requests), ("responses.jsonl", responses)):
        data = [line if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in lines]
        (folder / name).write_bytes(b"".join(data))
    return folder


def request(index: int, **rest: Any) -> dict[str, Any]:
    return {"dialogue_id": f"d{index}", "index": index, "model": "m", "prompt": {"user": "?"}, **rest}


def response(index: int, **rest: Any) -> dict[str, Any]:
    return {"dialogue_id": f"d{index}", "index": index, "type": "answer", "completion": "Paris", **rest}


def test_logs_reduce_like_the_outcomes_they_hold(tmp_path: Path) -> None:
    write(tmp_path, [request(0, required_facts=["paris", "x"], tags=["t"]), request(1)], [response(0), response(1)])
    outcomes = list(read_outcomes(tmp_path))
    assert outcomes[0].required_facts == ("paris", "x")
    assert shown(reduce_logs(tmp_path, ALL)) == shown(reduce_outcomes(outcomes, ALL))
    assert reduce_logs(tmp_path, ALL).estimates()["fact_coverage"].value == 0.75


def test_projected_logs_reduce_to_what_they_still_say(tmp_path: Path) -> None:
    line = {"dialogue_id": "d0", "type": "refusal"}
    write(tmp_path, [{"dialogue_id": "d0", "required_facts": ["x"]}], [line])
    found = reduce_logs(tmp_path, ALL).estimates()
    assert found["refusal_rate"].value == 1
    assert found["fact_coverage"].value is None


def test_facts_are_believed_from_the_requests_only(tmp_path: Path) -> None:
    write(tmp_path, [request(0, required_facts=["Rome"])], [response(0, required_facts=["Paris"], tags=["x"])])
    found = reduce_logs(tmp_path, ALL)
    assert found.estimates()["fact_coverage"].value == 0
    assert found.by_tag() == {}


Lines = list[Any]
DAMAGED: list[tuple[Lines, Lines, str]] = [
    ([request(0), request(1)], [response(0)], "responses.jsonl: ends after 1 lines"),
    ([request(0)], [response(0), response(1)], "requests.jsonl: ends after 1 lines"),
    ([request(0), request(1)], [response(0), response(2)], "responses.jsonl:2: is dialogue 'd2'"),
    ([request(0) | {"index": 5}], [response(0)], "requests.jsonl:1: has index 5"),
    ([request(0)], [response(0) | {"index": 5}], "responses.jsonl:1: has index 5"),
    ([request(0)], [b"{not json}\n"], "responses.jsonl:1: is not a line"),
    ([request(0)], [b"\n"], "responses.jsonl:1: is not a line"),
    ([request(0)], [b'{"dialogue_id": "d0", "ty'], "responses.jsonl:1: is cut off"),
    ([b"\xff\xfe\n"], [response(0)], "requests.jsonl:1: is not a line"),
    (
        [request(0)],
        [b'{"dialogue_id":"d0","type":"answer","usage":' + b"[" * 10**5 + b"\n"],
        "responses.jsonl:1: is not",
    ),
    ([request(0)], [b'{"dialogue_id":"d0","type":"answer","latency_s":NaN}\n'], "responses.jsonl:1: is not"),
    ([request(0)], [response(0, latency_s=True)], "responses.jsonl:1: is not"),
    ([request(0)], [response(0, latency_s=-1)], "responses.jsonl:1: latency_s"),
    ([request(0)], [response(0, usage={"input_tokens": True})], "responses.jsonl:1: usage.input_tokens"),
    ([request(0)], [response(0, type="wrong")], "responses.jsonl:1: is not"),
    ([request(0, required_facts="x")], [response(0)], "requests.jsonl:1: is not"),
]


@pytest.mark.parametrize(("requests", "responses", "message"), DAMAGED)
def test_a_damaged_log_is_told_with_its_place(tmp_path: Path, requests: Lines, responses: Lines, message: str) -> None:
    with pytest.raises(LogError) as caught:
        reduce_logs(write(tmp_path, requests, responses), ALL)
    assert message in str(caught.value)


def test_a_last_line_without_its_newline_is_whole_when_it_can_be_read(tmp_path: Path) -> None:
    write(tmp_path, [request(0)], [orjson.dumps(response(0))])
    assert reduce_logs(tmp_path, ALL).total == 1


def test_an_unfinished_run_may_lack_responses_and_end_in_a_torn_line(tmp_path: Path) -> None:
    write(tmp_path, [request(0), request(1), request(2), b'{"dial'], [response(0), b'{"dialogue_id": "d1", "ty'])
    assert reduce_logs(tmp_path, ALL, complete=False).total == 1


def test_an_unfinished_run_has_no_more_responses_than_requests(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="goes on"):
        reduce_logs(write(tmp_path, [], [response(0)]), ALL, complete=False)


def test_empty_logs_are_no_data(tmp_path: Path) -> None:
    assert reduce_logs(write(tmp_path, [], []), ALL).total == 0


def test_a_missing_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no such file"):
        reduce_logs(tmp_path, ALL)


def test_a_log_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [], [])

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(LogError, match="Permission denied"):
        reduce_logs(tmp_path, ALL)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def hostile(valid: Callable[..., dict[str, Any]], *fields: str) -> st.SearchStrategy[bytes]:
    changed = st.dictionaries(st.sampled_from(fields), json_values, max_size=2).map(lambda more: valid(0) | more)
    line = changed.map(lambda value: orjson.dumps(value, default=str, option=orjson.OPT_PASSTHROUGH_SUBCLASS))
    return st.one_of(
        line, st.binary(max_size=30), line.flatmap(lambda text: st.integers(0, len(text)).map(lambda end: text[:end]))
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    hostile(request, "dialogue_id", "index", "required_facts", "tags", "metadata", "expect_refusal"),
    hostile(response, "type", "usage", "latency_s", "attempts", "cost_usd", "error", "replies", "completion", "index"),
    st.sampled_from([b"", b"\n"]),
    st.booleans(),
)
def test_hostile_logs_are_reduced_or_refused(
    tmp_path: Path, requests: bytes, responses: bytes, end: bytes, complete: bool
) -> None:
    write(tmp_path, [requests + b"\n"], [responses + end])
    with contextlib.suppress(LogError):
        assert b'"counts"' in shown(reduce_logs(tmp_path, ALL, complete=complete))
