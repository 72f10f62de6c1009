from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from profiler.cli.comparing.markdown import cell, code
from profiler.cli.comparing.words import number
from profiler.cli.main import main
from tests.profiler.results.comparing.folders import item, write_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOSTILE = "@team see https://evil.example <img src=x> | `x` #1 **b**"


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command with two runs: BASE is right in 50 of 100, NEW in 70, and slower; or with other runs."""

    def run(*words: str, names: tuple[str, ...] = ("base", "new")) -> tuple[int, str, str]:
        code = main(["compare", *(str(tmp_path / name) for name in names), *words])
        return code, *capsys.readouterr()

    for name, right, latency in (("base", 50, 1.0), ("new", 70, 1.5), ("same", 51, 1.0)):
        items = [
            item(
                at,
                scores={"refusal_as_expected": at < right},
                cost_usd=0.000123 * (1 + at % 4),
                latency_s=latency + at % 7 / 10,
                usage={"input_tokens": 1000 + at, "output_tokens": 2 * at},
                tags=["easy" if at < 60 else "hard"],
            )
            for at in range(100)
        ]
        write_run(tmp_path / name, items, metrics=["refusal_as_expected", "geometric_mean"])
    return run


def test_the_table_fits_80_columns_and_says_what_was_found(say: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = say("--margin", "refusal_as_expected=0.01", names=("base", "new", "same"))

    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "base (base) and new (new)\nMODE: MOCK | m" in out
    assert re.search(r"^refusal_as_expected +0\.5000 +0\.7000 +\+0\.2000 +better$", out, re.MULTILINE)
    assert "100 dialogues are paired." in out
    assert "'refusal_as_expected': 20 went from wrong to right: 'd50', 'd51', 'd52', 'd53'" in out
    assert "cost_usd per 1,000" in out
    assert "p is corrected for 14 comparisons (Holm)" in out
    assert "Where new differs, by tag" in out
    assert "Not compared: geometric_mean, which has no value for a single dialogue." in out
    assert "the best is 'new'; the cheapest" in " ".join(out.split())


def test_a_run_that_is_compared_with_itself_is_told(say: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = say(names=("base", "base"))

    assert code == 0
    assert "are the same run." in " ".join(out.split())


def test_long_names_fit_80_columns_too(say: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    long = f"new-{'with-more-' * 9}"
    (tmp_path / "new").rename(tmp_path / long)
    _, out, _ = say(names=("base", long))

    assert max(map(len, out.splitlines())) <= 80
    assert "".join(out.split()).startswith(f"base(base)and{long}(new)MODE:MOCK|m")


def test_a_run_whose_cost_is_not_known_is_named_where_the_cheapest_is_told(
    say: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    items = [item(at, scores={"refusal_as_expected": at < 70}, cost_usd=None) for at in range(100)]
    write_run(tmp_path / "free", items, metrics=["refusal_as_expected"])
    _, out, _ = say("--margin", "refusal_as_expected=0.05", names=("base", "new", "free"))

    assert "What 'free' cost is not known, so it is left out." in " ".join(out.split())


def test_json_holds_all_of_it(say: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = say("--json", "--fail-if-worse", "latency_s:0.1")
    found: dict[str, Any] = json.loads(out)

    assert code == 1
    assert found["state"] == "worse"
    assert found["against"][0]["pairing"]["paired"] == 100
    names = [each["metric"] for each in found["against"][0]["comparisons"]]
    assert names[0] == "refusal_as_expected"
    assert {"error_rate", "refusal_rate", "cost_usd", "latency_s", "input_tokens", "output_tokens"} <= set(names)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--fail-if-worse", "refusal_as_expected"), 0),
        (("--fail-if-worse", "latency_s"), 1),
        (("--fail-if-worse", "latency_s:2"), 0),
        (("--fail-if-worse", "refusal_as_expected", "--fail-if-worse", "latency_s"), 1),
        (("--fail-if-worse", "output_tokens", "--lower-is-better", "output_tokens"), 0),
    ],
)
def test_the_exit_code_says_whether_it_is_worse(
    say: Callable[..., tuple[int, str, str]], words: tuple[str, ...], code: int
) -> None:
    assert say(*words)[0] == code


def test_what_is_undecided_passes_unless_it_is_strict(say: Callable[..., tuple[int, str, str]]) -> None:
    gate = ("--fail-if-worse", "refusal_as_expected")

    assert say(*gate, names=("base", "same"))[0] == 0
    code, out, _ = say(*gate, "--strict", names=("base", "same"))
    assert code == 5
    assert "'refusal_as_expected': 'same' may be worse or not" in out


def test_strict_without_a_gate_and_bad_words_are_usage_errors(
    say: Callable[..., tuple[int, str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = say("--strict")
    assert code == 2
    assert "hint: add --fail-if-worse METRIC" in err
    for words in (("--margin", "x"), ("--margin", "x=-1"), ("--fail-if-worse", "x:y"), ("--markdown", "--json")):
        with pytest.raises(SystemExit, match="2"):
            say(*words)
    assert "expected METRIC=X such as fact_coverage=0.01" in capsys.readouterr().err


def test_junit_has_a_case_for_each_gate(say: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    gates = ("--fail-if-worse", "latency_s", "--fail-if-worse", "refusal_as_expected", "--fail-if-worse", "cost_usd")
    say(*gates, "--junit", str(path))
    suite = ET.fromstring(path.read_text()).find("testsuite")

    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "0")
    (failed,) = suite.findall("testcase[failure]")
    assert failed.get("name") == "latency_s is not worse by more than 0"
    say("--junit", str(path))
    assert len(ET.fromstring(path.read_text()).findall(".//testcase")) > 3


def test_markdown_lets_nothing_from_a_file_come_alive(say: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    for name, right in (("left", 3), ("right", 30)):
        items = [
            {
                **item(at, scores={"m": at < right}, tags=[HOSTILE], prompt={"user": "q"}),
                "dialogue_id": f"{HOSTILE} {at}",
            }
            for at in range(40)
        ]
        write_run(tmp_path / name, items, metrics=[HOSTILE, "geometric_mean"])
    _, out, _ = say("--markdown", "--by-tag", names=("left", "right"))
    assert "Not compared" in out

    assert HOSTILE.replace("|", "\\|") in out
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", out)
    assert not re.search("[@<#*]|https?:", outside.replace("### ", "").replace("<0.0001", ""))
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


def test_code_ends_where_it_should() -> None:
    assert code("a`b") == "``a`b``"
    assert code("`") == "`` ` ``"
    assert code("a\nb\x1b[1m") == "`a b?[1m`"
    assert code("") == "` `"
    assert cell("a|b") == "`a\\|b`"


def test_numbers_are_shown_as_they_are_read_best() -> None:
    assert [number(value, "m") for value in (None, 0.0, 0.12345, 12.345, 12345.6, 0.000012)] == [
        "-",
        "0.0000",
        "0.1235",
        "12.35",
        "12,346",
        "1.2e-05",
    ]
    assert number(0.0005, "cost_usd", signed=True) == "+0.5000"


def test_runs_that_do_not_compare_load_nothing_of_it() -> None:
    program = (
        "import sys, profiler.cli.run, profiler.cli.commands, profiler.engine.runner\n"
        "print([name for name in sys.modules if name.startswith(('profiler.results', 'numpy', 'scipy'))])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_comparing_needs_neither_numpy_nor_scipy() -> None:
    program = (
        "import sys, profiler.cli.compare\nprint([name for name in sys.modules if name.startswith(('numpy', 'scipy'))])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_verdicts_never_replace_what_a_run_consists_of(
    say: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    path = tmp_path / "base" / "summary.json"
    before = path.read_bytes()

    code, _, err = say("--junit", str(path))

    assert (code, path.read_bytes()) == (2, before)
    assert "is a file of a run" in err


def test_the_question_of_a_gate_says_that_it_is_corrected_by_itself(say: Callable[..., tuple[int, str, str]]) -> None:
    said = "What --fail-if-worse asks is tested one-sided (2.5 %) and corrected for its {} alone, not for the table."
    _, out, _ = say("--fail-if-worse", "refusal_as_expected")
    assert said.format("one question") in " ".join(out.split())
    _, out, _ = say("--fail-if-worse", "refusal_as_expected", "--fail-if-worse", "latency_s", "--markdown")
    assert said.format("2 questions") in out
    _, out, _ = say()
    assert "--fail-if-worse" not in out
