from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from anyio.lowlevel import checkpoint

from profiler.cli.dry_run_table import as_table
from profiler.core.errors import CallError
from profiler.core.nouns import Reply, Request
from profiler.dataset.selection import Selection
from profiler.engine.dry_run import DryRun, estimate
from profiler.engine.options import Options
from profiler.engine.runner import run
from profiler.manifest.load import load_manifest
from profiler.manifest.settings import Experiment, RateLimits
from profiler.money.price_list import look_up
from profiler.money.prices import RateCard
from profiler.provider.source import source_of
from profiler.storage import ledger
from profiler.storage.identity import examine
from profiler.storage.kept_answers import Kept
from profiler.storage.money import Money
from tests.profiler.building import record

ROOT = Path(__file__).resolve().parents[3]
MODEL = "claude-haiku-4-5"


def card(model: str = MODEL) -> RateCard | None:
    return look_up(model, at=datetime(2026, 11, 21, tzinfo=UTC))


def experiment(folder: Path, *rows: dict[str, Any], **settings: Any) -> Experiment:
    path = folder / "dialogues.jsonl"
    named = [{"dialogue_id": f"d{index}", **row} for index, row in enumerate(rows or ({"user": "x" * 700},))]
    path.write_text("".join(json.dumps(row) + "\n" for row in named))
    usual = {"experiment_id": "e", "model": MODEL, "max_tokens": 100, "metrics": ("refusal_rate",)}
    return Experiment(**{**usual, "dataset_path": path, **settings})


def estimated(folder: Path, *rows: dict[str, Any], reckoning: dict[str, Any] | None = None, **settings: Any) -> DryRun:
    return estimate(experiment(folder, *rows, **settings), **{"card": card(), **(reckoning or {})})


def test_every_number_lies_between_its_low_and_its_most(tmp_path: Path) -> None:
    found = estimated(tmp_path, {"user": "hello"}, {"turns": ["a", "b", "c"]}, {"user": "Grüße, 世界"})

    assert (found.dialogues, found.requests) == (3, 5)
    for span in (found.input_tokens, found.output_tokens, found.cost_usd):
        assert span is not None
        assert 0 < span.low < span.expected < span.most


def test_english_is_reckoned_with_three_and_a_half_characters_a_token(tmp_path: Path) -> None:
    found = estimated(tmp_path, {"user": "x" * 7_000})

    assert found.input_tokens.expected == pytest.approx(2_000, rel=0.01)
    assert found.input_tokens.low == pytest.approx(1_400, rel=0.01)
    assert found.input_tokens.most > 7_000


def test_other_scripts_are_reckoned_with_more_tokens(tmp_path: Path) -> None:
    assert estimated(tmp_path, {"user": "世" * 1_000}).input_tokens.expected == pytest.approx(1_000, rel=0.02)


def test_the_worst_case_of_the_output_is_all_of_max_tokens(tmp_path: Path) -> None:
    found = estimated(tmp_path, {"turns": ["a", "b"]}, max_tokens=10_000)

    assert (found.output_tokens.low, found.output_tokens.expected, found.output_tokens.most) == (100, 1_000, 20_000)


def test_each_turn_sends_all_that_was_said_before(tmp_path: Path) -> None:
    one = estimated(tmp_path, {"turns": ["x" * 3_500]})
    two = estimated(tmp_path, {"turns": ["x" * 3_500, "y" * 3_500]})

    assert two.input_tokens.expected == pytest.approx(3 * one.input_tokens.expected + 50, rel=0.02)


def test_a_prompt_above_the_tier_is_reckoned_with_its_price(tmp_path: Path) -> None:
    short, long = (
        estimated(
            tmp_path, {"user": "x" * size}, model="claude-haiku-5-5", reckoning={"card": card("claude-haiku-5-5")}
        )
        for size in (300_000, 400_000)
    )

    assert short.cost_usd is not None
    assert long.cost_usd is not None
    assert long.cost_usd.expected > 5 * short.cost_usd.expected


@pytest.mark.parametrize(
    ("limits", "expected", "name"),
    [
        ({"requests_per_minute": 30}, 120.0, "requests a minute"),
        ({"requests_per_minute": 30, "output_tokens_per_minute": 1_000}, 180.0, "output tokens a minute"),
        ({"input_tokens_per_minute": 100_000_000, "requests_per_minute": 60}, 60.0, "requests a minute"),
    ],
)
def test_the_scarcest_limit_says_how_soon_the_run_can_end(
    tmp_path: Path, limits: dict[str, int], expected: float, name: str
) -> None:
    found = estimated(tmp_path, *[{"user": "hello"}] * 60, rate_limits=RateLimits(**limits))

    assert (found.eta_s, found.bound_by) == (expected, name)


def test_an_assumed_latency_bounds_the_time_by_the_calls_at_once(tmp_path: Path) -> None:
    found = estimated(tmp_path, *[{"user": "hello"}] * 60, reckoning={"concurrency": 6, "latency_s": 2.0})

    assert (found.eta_s, found.bound_by) == (20.0, "concurrency")


def test_without_limits_the_time_is_unknown(tmp_path: Path) -> None:
    assert estimated(tmp_path).eta_s is None


def test_without_a_price_the_cost_is_unknown_and_the_cap_could_not_be_held(tmp_path: Path) -> None:
    found = estimated(tmp_path, reckoning={"card": None, "max_cost_usd": 1.0})

    assert found.cost_usd is None
    assert "unknown" in as_table([found]).rows[0]
    assert any("would refuse to start" in warning for warning in found.warnings)


@pytest.mark.parametrize(("share", "words"), [(0.5, "would stop there"), (1.01, "may stop there"), (1e6, "")])
def test_the_cap_is_compared_with_what_the_run_would_cost(tmp_path: Path, share: float, words: str) -> None:
    plain = estimated(tmp_path).cost_usd
    assert plain is not None
    found = estimated(tmp_path, reckoning={"max_cost_usd": share * plain.expected})

    assert [words in warning for warning in found.warnings] == ([True] if words else [])


def test_only_the_first_dialogues_are_reckoned_with_a_limit(tmp_path: Path) -> None:
    assert estimated(tmp_path, *[{"user": "hello"}] * 9, reckoning={"selection": Selection(limit=4)}).dialogues == 4


def test_repeats_are_reckoned_one_by_one(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"user": "hello"}, {"turns": ["a", "b", "c"]}]
    once, thrice = estimated(tmp_path, *rows), estimated(tmp_path, *rows, repeats=3)

    assert (thrice.dialogues, thrice.repeats, thrice.requests) == (2, 3, 3 * once.requests)
    for name in ("input_tokens", "output_tokens", "cost_usd"):
        one, three = (getattr(each, name) for each in (once, thrice))
        assert [three.low, three.expected, three.most] == pytest.approx(
            [3 * one.low, 3 * one.expected, 3 * one.most], rel=0.01
        )
    assert "2 x 3" in as_table([thrice]).rows[0]

    kept = Kept(done=bytearray([1, 0, 1, 1, 1, 1]))
    rest = estimated(tmp_path, *rows, repeats=3, reckoning={"kept": kept})
    assert (rest.dialogues, rest.kept, rest.requests) == (1, 5, 1)


def test_images_are_told(tmp_path: Path) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 100}}
    found = estimated(tmp_path, {"messages": [{"role": "user", "content": [image, {"type": "text", "text": "?"}]}]})

    assert any(warning.startswith("1 images") for warning in found.warnings)


NO_NETWORK = """
import socket, sys

def refuse(*args, **kwargs):
    raise AssertionError("a dry run opened a socket")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from profiler.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def dry_run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", NO_NETWORK, "run", "--config", str(folder / "m.yaml"), "--dry-run", *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    experiment(tmp_path)
    (tmp_path / "m.yaml").write_text(
        f"experiment_id: e\nmodel: {MODEL}\nmax_tokens: 100\ndataset_path: dialogues.jsonl\ntemperature: 0.5\n"
    )
    return tmp_path


@pytest.mark.parametrize("mode", ["mock", "live"])
def test_a_dry_run_writes_nothing_and_needs_neither_key_nor_network(folder: Path, mode: str) -> None:
    before = sorted(folder.rglob("*"))
    done = dry_run(folder, "--mode", mode)

    assert done.returncode == 0, done.stderr
    assert "DRY RUN - nothing was sent, written or spent" in done.stdout
    assert sorted(folder.rglob("*")) == before


def test_a_dry_run_says_as_json_what_the_table_says(folder: Path) -> None:
    done = dry_run(folder, "--json", "--max-cost", "0.0001")
    [found] = json.loads(done.stdout)["dry_run"]

    assert found["experiment_id"] == "e"
    assert found["max_cost_usd"] == 0.0001
    assert found["cost_usd"]["most"] > found["cost_usd"]["expected"] > 0.0001
    assert found["rate_card"]["source"].startswith("genai-prices ")
    assert len(found["warnings"]) == 3


def begun(folder: Path, *answered: int, types: dict[int, str] | None = None, **others: Any) -> None:
    """What a killed live run of `m.yaml` left: a journal with these answers, each for a cent, and an open ledger."""
    [asked] = load_manifest(folder / "m.yaml", environ={}).experiments
    source = source_of(asked, mode=others.pop("mode", "live"), environ={})
    header = examine(asked, **{"source": source, "before": None, **others}).header
    run = folder / "runs" / "e"
    run.mkdir(parents=True)
    records = [
        record(index, cost_usd=0.01, type=(types or {}).get(index, "answer"), completion="x") for index in answered
    ]
    lines = [msgspec.json.encode(header), *(msgspec.json.encode(each) for each in records)]
    (run / "journal.jsonl").write_bytes(b"".join(line + b"\n" for line in lines) + b'{"torn')
    ledger.begin(run, Money(maybe=20_000_000_000), journal_size=0)


def reckoned(folder: Path, *words: str) -> dict[str, Any]:
    done = dry_run(folder, "--json", *words)
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout)["dry_run"]
    return dict(found)


@pytest.fixture
def four(folder: Path) -> Path:
    experiment(folder, *({"user": f"question {index}"} for index in range(4)))
    return folder


def test_answers_that_a_killed_run_has_kept_are_not_reckoned_again(four: Path) -> None:
    whole = reckoned(four)
    begun(four, 2, 0)
    before = {path: path.read_bytes() for path in four.rglob("*") if path.is_file()}
    rest = reckoned(four)

    assert (whole["dialogues"], whole["kept"], rest["dialogues"], rest["kept"]) == (4, 0, 2, 2)
    assert rest["cost_usd"]["most"] == pytest.approx(whole["cost_usd"]["most"] / 2)
    assert rest["billed_before_usd"] == pytest.approx(0.04)
    assert "2 of 4 answers are kept and not asked again" in rest["warnings"]
    assert {path: path.read_bytes() for path in four.rglob("*") if path.is_file()} == before


def test_what_was_billed_before_counts_against_the_cap(four: Path) -> None:
    begun(four, 0)
    [warning] = [each for each in reckoned(four, "--max-cost", "0.03")["warnings"] if "cap" in each]

    assert "the expected cost is above the cap" in warning


def test_failed_dialogues_are_reckoned_again_when_they_will_be_asked_again(four: Path) -> None:
    begun(four, 0, 1, 2, types={1: "error"})

    assert reckoned(four)["dialogues"] == 1
    assert reckoned(four, "--retry-failed")["dialogues"] == 2
    assert reckoned(four, "--fresh")["dialogues"] == 4


@pytest.mark.parametrize(
    "other", [{"mode": "mock"}, {"selection": Selection(limit=3)}, {"selection": Selection(sample=4)}]
)
def test_answers_of_another_run_are_not_taken_for_this_one(four: Path, other: dict[str, Any]) -> None:
    begun(four, 0, 1, **other)
    found = reckoned(four)

    assert (found["dialogues"], found["kept"]) == (4, 0)
    assert "its folder holds another run" in " ".join(found["warnings"])


async def test_a_complete_run_leaves_nothing_to_reckon(four: Path) -> None:
    with (four / "m.yaml").open("a") as file:
        file.write(f"client: {HalfRefusing.__module__}:HalfRefusing\n")
    [asked] = load_manifest(four / "m.yaml", environ={}).experiments
    await run(asked, options=Options(output_dir=four / "runs", mode="live", fsync="off"), client=HalfRefusing())

    assert reckoned(four)["dialogues"] == 0
    assert reckoned(four, "--retry-failed")["dialogues"] == 2


class HalfRefusing:
    async def complete(self, request: Request) -> Reply:
        await checkpoint()
        if request.index % 2:
            raise CallError("invalid_request", "no", status=400)
        return Reply(completion="yes", stop_reason="end_turn", model=MODEL, usage={"input_tokens": 9})


def test_tools_and_forms_are_reckoned_with(tmp_path: Path) -> None:
    tool = {"name": "t", "description": "x" * 4_000, "input_schema": {"type": "object"}}
    bare = estimated(tmp_path, {"user": "?"})
    sent = estimated(tmp_path, {"user": "?", "request": {"tools": [tool]}})

    assert sent.input_tokens.expected > bare.input_tokens.expected + 800
    assert sent.input_tokens.most > bare.input_tokens.most + 4_000 + 2_000
