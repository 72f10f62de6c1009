"""The file that `profiler report` writes, as far as it can be judged without a browser."""

from __future__ import annotations

import codecs
import re
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec
import pytest

from profiler import Experiment, Options, run_sync
from profiler.core.errors import StorageError
from profiler.manifest.settings import MockSettings
from profiler.results.report.page import SCRIPT
from profiler.results.report.write import Written
from tests.profiler.building import files_end_at
from tests.profiler.results.report.making import failure, item, make_run
from tests.profiler.results.report.written import BLOCK, blocks, everything, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    lines = [item(0), item(1, "I cannot", type="refusal", stop_reason="refusal"), failure(2, "overloaded 17")]
    return make_run(tmp_path / "mine", lines)


def test_all_dialogues_are_in_the_file_and_it_says_so(run: Path, tmp_path: Path) -> None:
    written = write(tmp_path / "r.html", run)

    assert written == Written(rows=3, shown=3, texts=True)
    found = blocks(tmp_path / "r.html")
    assert found["columns"]["ids"] == ["d0", "d1", "d2"]
    assert [found["columns"]["types"][each] for each in found["columns"]["runs"][0]["type"]] == [
        "answer",
        "refusal",
        "error",
    ]
    assert found["texts"][0][0]["got"]["each"]["completion"] == ["an answer", "I cannot", None]


def test_aggregates_are_of_all_dialogues_even_where_few_are_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine", [failure(i, f"no {i}") if i % 4 == 0 else item(i) for i in range(400)])

    written = write(tmp_path / "r.html", run, room=50)

    facts = blocks(tmp_path / "r.html")["facts"]
    assert (written.rows, written.shown) == (400, 50)
    assert facts["runs"][0]["spreads"]["latency_s"]["n"] == 300
    assert [(each["message"], each["count"]) for each in facts["runs"][0]["errors"]] == [("no …", 100)]
    [errors] = [each for each in facts["kinds"] if each["kind"] == "errors"]
    assert errors["total"] == 100
    assert 0 < errors["shown"] < 50


def test_the_worst_of_each_measure_are_shown_where_not_all_are(tmp_path: Path) -> None:
    slow, wrong = {13, 77, 301}, {100, 205}
    lines = [
        item(i, "no" if i in wrong else "yes", asked_expected="yes", latency_s=90.0 + i if i in slow else 1.0)
        for i in range(400)
    ]
    run = make_run(tmp_path / "mine", lines, metrics=["exact_match"])

    written = write(tmp_path / "r.html", run, room=60)

    ids = blocks(tmp_path / "r.html")["columns"]["ids"]
    assert {f"d{i}" for i in slow | wrong} <= set(ids)
    assert len(ids) == written.shown == 60
    kinds = {each["kind"]: each["shown"] for each in blocks(tmp_path / "r.html")["facts"]["kinds"]}
    assert kinds["worst exact_match"] == 2
    assert ids == sorted(ids, key=lambda name: int(name[1:]))


def test_equal_runs_give_equal_bytes(run: Path, tmp_path: Path) -> None:
    write(tmp_path / "a.html", run)
    write(tmp_path / "b.html", run)

    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_an_unfinished_run_says_that_it_is(tmp_path: Path, run: Path) -> None:
    (run / "summary.json").unlink()
    (run / "scores.jsonl").unlink()

    write(tmp_path / "r.html", run)

    assert blocks(tmp_path / "r.html")["facts"]["runs"][0]["complete"] is False


def test_repeats_are_rows_of_their_own(tmp_path: Path) -> None:
    lines = [item(i, f"answer {i}", dialogue_id=f"x{i // 2}", repeat=i % 2) for i in range(4)]
    run = make_run(tmp_path / "mine", lines)

    write(tmp_path / "r.html", run)

    columns = blocks(tmp_path / "r.html")["columns"]
    assert columns["ids"] == ["x0", "x0", "x1", "x1"]
    assert columns["repeats"] == [0, 1, 0, 1]


@pytest.mark.parametrize("room", [64, 60_000])
def test_a_disk_that_is_full_leaves_the_report_of_before(tmp_path: Path, room: int) -> None:
    run = make_run(tmp_path / "mine", [item(0)])
    (tmp_path / "r.html").write_text("before")

    with files_end_at(room), pytest.raises(StorageError, match=r"r\.html: cannot write") as caught:
        write(tmp_path / "r.html", run)

    assert "answered" not in str(caught.value.hint)
    assert (tmp_path / "r.html").read_text() == "before"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine", "r.html"]


def test_failures_are_marked(tmp_path: Path) -> None:
    lines = [
        item(0),
        failure(1, "no"),
        item(2, "cut", type="truncated"),
        item(3, "I cannot", type="refusal"),
        item(4, "I cannot", type="refusal", asked_expect_refusal=True),
        item(5, "gladly", asked_expect_refusal=True),
        item(6, "the moon", asked_required_facts=["moon", "sun"]),
        item(7, "no", asked_expected="yes"),
    ]
    run = make_run(tmp_path / "mine", lines)

    write(tmp_path / "r.html", run)

    assert blocks(tmp_path / "r.html")["columns"]["runs"][0]["failed"] == [0, 1, 1, 1, 0, 1, 1, 1]


def test_the_time_line_counts_what_was_in_flight(tmp_path: Path) -> None:
    lines = [item(i, latency_s=1.0, at_s=2.0 + i / 8, attempts=2) for i in range(8)]
    run = make_run(tmp_path / "mine", lines)

    write(tmp_path / "r.html", run)

    timeline = blocks(tmp_path / "r.html")["facts"]["runs"][0]["timeline"]
    assert sum(timeline["per_s"]) * timeline["width_s"] == pytest.approx(8)
    assert max(timeline["in_flight"]) == 8
    assert sum(timeline["retries"]) == 8


def test_no_text_of_a_run_stands_in_the_html_itself(tmp_path: Path) -> None:
    run = make_run(tmp_path / "<b>bold&", [item(0, "</script><script>alert(1)</script>")])

    write(tmp_path / "r.html", run)

    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "alert(1)" not in text
    assert "<b>bold" not in text
    assert "&lt;b&gt;bold&amp;" in text


def test_the_file_allows_itself_nothing_from_outside(run: Path, tmp_path: Path) -> None:
    write(tmp_path / "r.html", run)

    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert set(re.findall(r"https?://[^\s\"'<]*", text)) == {"http://www.w3.org/2000/svg"}


def test_the_script_never_makes_markup_of_a_text_and_asks_nobody() -> None:
    scripts = [
        each for each in files("profiler.results.report").joinpath("script").iterdir() if each.name.endswith(".js")
    ]

    assert {each.name.removesuffix(".js") for each in scripts} == set(SCRIPT)
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        assert not re.findall(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(|fetch\(|XMLHttp|import\(", text
        )
        assert len(text.splitlines()) <= 300


def test_many_dialogues_are_packed_two_bytes_a_character(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("profiler.results.report.write.MOST_IN_UTF_8", 2)

    write(tmp_path / "r.html", run)

    content = (tmp_path / "r.html").read_bytes()
    assert content.startswith(codecs.BOM_UTF16_LE)
    text = content.decode("utf-16")
    assert text.startswith("<!doctype html>")
    assert len(BLOCK.findall(text)) == 3


def test_refusals_are_grouped_by_what_the_provider_says_they_are_about(tmp_path: Path) -> None:
    """From a run of the engine itself, so that the category comes all the way."""
    refused = {"completion": "", "stop_reason": "refusal"}
    answers = {
        "d0": {
            **refused,
            "metadata": {"stop_details": {"type": "refusal", "category": "bio", "explanation": "secret"}},
        },
        "d1": {**refused, "metadata": {"stop_details": {"type": "refusal", "category": "bio"}}},
        "d2": {**refused, "metadata": {"stop_details": {"type": "refusal", "category": None}}},
        "d3": {"completion": "I can't help with that."},
    }
    (tmp_path / "answers.json").write_bytes(msgspec.json.encode(answers))
    rows = [{"dialogue_id": f"d{n}", "user": "?", "expect_refusal": True} for n in range(4)]
    (tmp_path / "d.json").write_bytes(msgspec.json.encode(rows))
    experiment = Experiment(
        experiment_id="e",
        model="claude-haiku-4-5",
        max_tokens=64,
        dataset_path=tmp_path / "d.json",
        mock=MockSettings(responses_path=tmp_path / "answers.json"),
    )
    run_sync(experiment, options=Options(output_dir=tmp_path, mode="mock"))
    write(tmp_path / "r.html", tmp_path / "e")
    write(tmp_path / "without.html", tmp_path / "e", texts=False)

    for name in ("r.html", "without.html"):
        assert blocks(tmp_path / name)["facts"]["runs"][0]["refusals"] == [
            {"category": "bio", "expected": True, "count": 2},
            {"category": "the provider gave no category", "expected": True, "count": 1},
            {"category": "known by its words", "expected": True, "count": 1},
        ]
    assert "secret" in everything(tmp_path / "r.html")
    assert "secret" not in everything(tmp_path / "without.html")


def test_pictures_are_told_of_and_left_out_and_what_was_sent_is_a_text(tmp_path: Path) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "QUJD" * 5_000}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": source}]}
    prompt = {"messages": [{"role": "user", "content": [{"type": "image", "source": source}, result]}]}
    tools = {"tools": [{"name": "a_tool_of_ours"}]}
    run = make_run(tmp_path / "mine", [item(0, asked_prompt=prompt, asked_request=tools)])
    write(tmp_path / "r.html", run)
    write(tmp_path / "without.html", run, texts=False)

    found = everything(tmp_path / "r.html")
    assert found.count("20,000 characters of base64, left out of the report") == 2
    assert "QUJDQUJD" not in found
    assert "a_tool_of_ours" in found
    assert "a_tool_of_ours" not in everything(tmp_path / "without.html")
