"""The file that `profiler report` writes, as far as it can be judged without a browser."""

from __future__ import annotations

import base64
import codecs
import re
import zlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from profiler import Experiment, Options, run_sync
from profiler.core.errors import StorageError, UsageError
from profiler.core.json import loads
from profiler.manifest.settings import MockSettings
from profiler.results.comparing.compare import compare
from profiler.results.comparing.findings import Question
from profiler.results.report.page import SCRIPT
from profiler.results.report.privacy import Privacy
from profiler.results.report.write import Written, write_report
from profiler.storage.reading.saved_run import SavedRun
from tests.profiler.building import files_end_at
from tests.profiler.results.report.making import failure, item, make_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BLOCK = re.compile(r'<script type="text/plain" class="(\w+)-block" data-bytes="\d+">(.*?)</script>', re.DOTALL)


def write(path: Path, *runs: Path, room: int = 1000, environ: Mapping[str, str] | None = None, **wish: Any) -> Written:
    privacy = Privacy(environ=environ or {}, **wish)
    return write_report([SavedRun(run) for run in runs], path, privacy=privacy, room=room)


def blocks(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"texts": []}
    for name, packed in BLOCK.findall(path.read_text(encoding="utf-8")):
        value = loads(zlib.decompress(base64.b64decode(packed)))
        if name == "texts":
            found["texts"].append(value)
        else:
            found[name] = value
    return found


def everything(path: Path) -> str:
    """All that somebody who has the file can read in it."""
    text = path.read_text(encoding="utf-8")
    return text + "".join(zlib.decompress(base64.b64decode(packed)).decode() for _, packed in BLOCK.findall(text))


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


def test_without_texts_none_is_in_the_file(tmp_path: Path) -> None:
    private: dict[str, Any] = {
        "asked_prompt": {"system": "PRIVATE_7", "user": "PRIVATE_7?"},
        "asked_metadata": {"customer": "PRIVATE_7"},
        "asked_required_facts": ["PRIVATE_7"],
        "asked_expected": "PRIVATE_7",
    }
    lines = [
        item(0, "PRIVATE_7", replies=["PRIVATE_7", "PRIVATE_7"], **private),
        failure(1, "'PRIVATE_7' is too long", **private),
    ]
    run = make_run(tmp_path / "mine", lines, identity={"model": "m", "system": "PRIVATE_7"})

    written = write(tmp_path / "r.html", run, texts=False)

    assert not written.texts
    assert "PRIVATE_7" not in everything(tmp_path / "r.html")
    assert blocks(tmp_path / "r.html")["facts"]["texts"] is False


def test_a_dropped_field_is_nowhere_in_the_file(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "mine",
        [item(0, asked_tags=["PRIVATE_7"], asked_metadata={"customer": "PERSON_7", "kept": "yes"})],
        identity={"model": "m"},
    )

    write(tmp_path / "r.html", run, drop=["tags", "metadata.customer", "cost_usd"])

    whole = everything(tmp_path / "r.html")
    assert "PRIVATE_7" not in whole
    assert "PERSON_7" not in whole
    assert '"kept":"yes"' in whole
    found = blocks(tmp_path / "r.html")
    assert "cost_usd" not in found["columns"]["runs"][0]["measures"]
    assert found["facts"]["dropped"] == ["tags", "metadata.customer", "cost_usd"]


def test_a_field_that_no_line_has_is_refused_and_nothing_is_written(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--drop metadata\.custmer: no line"):
        write(tmp_path / "r.html", run, drop=["metadata.custmer"])

    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_a_report_needs_cannot_be_dropped() -> None:
    with pytest.raises(UsageError, match="--drop type"):
        Privacy(drop=["type"], environ={})


def test_no_secret_is_in_the_file(tmp_path: Path) -> None:
    secret = "a-very-secret-word"
    lines = [
        item(0, f"the key is {secret} or sk-ant-api03-abcdefgh"),
        failure(1, "Bearer abcdefghijkl was refused"),
    ]
    identity = {"model": "m", "request": {"api_key": "hunter2hunter2"}, "system": "sk-ant-xyz-123"}
    run = make_run(tmp_path / "mine", lines, identity=identity)

    write(tmp_path / "r.html", run, environ={"MY_API_KEY": secret})

    whole = everything(tmp_path / "r.html")
    for word in (secret, "sk-ant-api03", "abcdefghijkl", "hunter2", "sk-ant-xyz"):
        assert word not in whole
    assert "[redacted]" in whole


def test_an_unfinished_run_says_that_it_is(tmp_path: Path, run: Path) -> None:
    (run / "summary.json").unlink()
    (run / "scores.jsonl").unlink()

    write(tmp_path / "r.html", run)

    assert blocks(tmp_path / "r.html")["facts"]["runs"][0]["complete"] is False


def test_runs_in_another_order_are_joined_by_dialogue(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", [item(i, f"first {i}", dialogue_id=f"x{i}") for i in range(5)])
    wanted = [3, 0, 9, 4, 1]
    second = make_run(
        tmp_path / "b", [item(place, f"second {i}", dialogue_id=f"x{i}") for place, i in enumerate(wanted)]
    )

    write(tmp_path / "r.html", first, second)

    found = blocks(tmp_path / "r.html")
    assert found["columns"]["ids"] == ["x0", "x1", "x2", "x3", "x4", "x9"]
    one, two = found["texts"][0]
    assert (one["absent"], two["absent"]) == ([5], [2])
    assert two["got"]["each"]["completion"] == ["second 0", "second 1", None, "second 3", "second 4", "second 9"]


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


def test_what_changed_between_two_runs_is_told(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"asked_expected": "yes"}
    before = [item(0, "yes", **asked), item(1, "no", **asked), item(2, "yes", **asked), item(3, "yes", **asked)]
    after = [item(0, "no", **asked), item(1, "yes", **asked), failure(2, "no", **asked), item(3, "yes", **asked)]

    write(tmp_path / "r.html", make_run(tmp_path / "a", before), make_run(tmp_path / "b", after))

    columns = blocks(tmp_path / "r.html")["columns"]
    assert [columns["changes"][each] for each in columns["change"][0]] == [
        "right → wrong",
        "wrong → right",
        "became an error",
        "",
    ]


def test_several_runs_are_compared_as_compare_does(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"asked_expected": "yes", "asked_tags": ["TAG_7"]}
    base = make_run(tmp_path / "a", [item(i, "yes" if i % 2 else "no", **asked) for i in range(60)])
    new = make_run(tmp_path / "b", [item(i, "yes", **asked) for i in range(60)])

    write(tmp_path / "r.html", base, new)
    write(tmp_path / "less.html", base, new, drop=["tags", "exact_match"])

    told = blocks(tmp_path / "r.html")["facts"]["comparison"]
    same = msgspec.to_builtins(compare(SavedRun(base), [SavedRun(new)], Question()))
    [shown], [expected] = told["against"], same["against"]
    assert [each["verdict"] for each in shown["comparisons"]] == [each["verdict"] for each in expected["comparisons"]]
    assert {each["metric"]: each["verdict"] for each in shown["comparisons"]}["exact_match"] == "better"
    assert {each["tag"] for each in shown["slices"]} == {"TAG_7"}
    assert str(tmp_path) not in everything(tmp_path / "r.html")
    assert "TAG_7" not in everything(tmp_path / "less.html")
    [less] = blocks(tmp_path / "less.html")["facts"]["comparison"]["against"]
    assert "exact_match" not in {each["metric"] for each in less["comparisons"]}


def test_runs_that_cannot_be_compared_are_shown_with_the_reason(tmp_path: Path) -> None:
    base = make_run(tmp_path / "a", [item(0, asked_prompt={"user": "one"})])
    new = make_run(tmp_path / "b", [item(0, asked_prompt={"user": "another"})])

    write(tmp_path / "r.html", base, new)

    assert "asked different questions" in blocks(tmp_path / "r.html")["facts"]["not_compared"]


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
