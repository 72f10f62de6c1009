from __future__ import annotations

import itertools
import subprocess
import sys
import timeit
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from genai_prices import data_snapshot
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.json import dump_pretty
from profiler.manifest.settings import Experiment, Prices
from profiler.money.price_list import card_of, from_manifest, look_up
from profiler.money.prices import PICO, Ceiling, RateCard, cost

ROOT = Path(__file__).resolve().parents[3]
TODAY = datetime(2026, 11, 21, tzinfo=UTC)
DATES = [datetime(year, month, 10, tzinfo=UTC) for year, month in ((2025, 6), (2026, 3), (2026, 4), (2026, 10))] + [
    TODAY
]
[ANTHROPIC] = [each for each in data_snapshot.get_snapshot().providers if each.id == "anthropic"]
MODELS = [model.id for model in ANTHROPIC.models]
CONTEXTS: dict[str, dict[str, str]] = {"batch": {"processing": "batch"}, "fast": {"speed": "fast"}}
USAGES: list[dict[str, Any]] = [
    {
        "input_tokens": fresh,
        "output_tokens": out,
        "cache_creation_input_tokens": written,
        "cache_creation": {"ephemeral_5m_input_tokens": written - hour, "ephemeral_1h_input_tokens": hour},
        "cache_read_input_tokens": read,
        "output_tokens_details": {"thinking_tokens": out // 2},
        "server_tool_use": {"web_search_requests": number % 3},
    }
    for number, (fresh, out, (written, hour), read) in enumerate(
        itertools.product(
            (1, 99_999, 100_000, 200_000, 200_001), (0, 777), ((0, 0), (1_001, 0), (50_001, 333)), (0, 100_000)
        )
    )
]


def card(model: str = "claude-haiku-4-5", at: datetime = TODAY) -> RateCard:
    found = look_up(model, at=at)
    assert found is not None
    return found


def library_price(model: str, usage: dict[str, Any], *, at: datetime, context: dict[str, str] | None) -> Decimal:
    tokens = ANTHROPIC.extract_usage({"model": model, "usage": usage})[1]
    return genai_prices.calc_price(
        tokens, model, provider_id="anthropic", genai_request_timestamp=at, price_context=context
    ).total_price


@pytest.mark.parametrize("model", MODELS)
def test_every_price_is_the_librarys_to_a_billionth_of_a_cent(model: str) -> None:
    dates = {date.date(): date for date in DATES}
    for at in dates.values():
        found = card(model, at)
        for usage in USAGES:
            known = found.web_search is not None or not usage["server_tool_use"]["web_search_requests"]
            ours = cost(found, usage)
            theirs = library_price(model, usage, at=at, context=None)
            assert ours is not None if known else ours is None
            assert ours is None or abs(Decimal(ours) / PICO - theirs) < Decimal("1e-11"), (model, at, usage)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("lane", ["batch", "fast"])
def test_batches_and_the_fast_lane_cost_what_the_library_says(model: str, lane: str) -> None:
    found = card(model)
    tariff = found.batch if lane == "batch" else found.fast
    for usage in USAGES[::3]:
        served = {**usage, "server_tool_use": None, **({"service_tier": lane} if lane == "batch" else {"speed": lane})}
        ours = cost(found, served)
        if tariff is None:
            assert ours is None
        else:
            theirs = library_price(model, {**usage, "server_tool_use": {}}, at=TODAY, context=CONTEXTS[lane])
            assert ours is not None
            assert abs(Decimal(ours) / PICO - theirs) < Decimal("1e-11")


def test_no_price_of_the_library_is_left_out_of_the_card() -> None:
    known = {"input_mtok", "output_mtok", "cache_write_mtok", "cache_write_1h_mtok", "cache_read_mtok"}
    for model in ANTHROPIC.models:
        for context in (None, *CONTEXTS.values()):
            for at in DATES:
                assert set(vars(model.get_prices(at, context))) <= known | {"web_searches_kcount"}, model.id


def test_the_prices_of_the_library_are_those_it_came_with() -> None:
    assert not data_snapshot.get_snapshot().from_auto_update


def test_a_prompt_above_the_tier_costs_five_times_as_much() -> None:
    haiku = card("claude-haiku-5-5")

    below = cost(haiku, {"input_tokens": 100_000, "output_tokens": 1_000})
    above = cost(haiku, {"input_tokens": 99_999, "output_tokens": 1_000, "cache_read_input_tokens": 2})

    assert below == 100_000 * 100_000 + 1_000 * 500_000
    assert above == 99_999 * 500_000 + 1_000 * 2_500_000 + 2 * 50_000


def test_the_day_decides_which_prices_hold() -> None:
    long = {"input_tokens": 300_000, "output_tokens": 0}

    before = cost(card("claude-opus-4-6", datetime(2026, 3, 12, tzinfo=UTC)), long)
    after = cost(card("claude-opus-4-6", datetime(2026, 3, 13, tzinfo=UTC)), long)

    assert (before, after) == (3 * PICO, 3 * PICO // 2)


@pytest.mark.parametrize("model", ["gpt-6", "no-such-model", "claude-unheard-of"])
def test_a_model_that_nobody_knows_has_no_card(model: str) -> None:
    assert look_up(model, at=TODAY) is None


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"input_tokens": 5},
        {"input_tokens": "5", "output_tokens": 1},
        {"input_tokens": 5, "output_tokens": None},
        {"input_tokens": 5, "output_tokens": True},
        {"input_tokens": -5, "output_tokens": 1},
        {"input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": -1},
        {"input_tokens": 5, "output_tokens": 1, "cache_creation_input_tokens": "1"},
        {"input_tokens": 5, "output_tokens": 1, "service_tier": "priority"},
        {"input_tokens": 5, "output_tokens": 1, "service_tier": ["batch"]},
        {"input_tokens": 5, "output_tokens": 1, "service_tier": "batch", "speed": "fast"},
        {"input_tokens": 5, "output_tokens": 1, "inference_geo": "mars"},
        {"input_tokens": 5, "output_tokens": 1, "inference_geo": ["us"]},
        {"input_tokens": 5, "output_tokens": 1, "server_tool_use": {"web_search_requests": -1}},
        {
            "input_tokens": 5,
            "output_tokens": 1,
            "cache_creation_input_tokens": 3,
            "cache_creation": {"ephemeral_1h_input_tokens": 4},
        },
    ],
)
def test_a_usage_that_says_too_little_or_nonsense_has_no_cost(usage: dict[str, Any]) -> None:
    assert cost(card(), usage) is None


@pytest.mark.parametrize(("geo", "expected"), [("us", 1_100_000), ("global", 1_000_000), ("not_available", 1_000_000)])
def test_inference_kept_in_the_united_states_costs_a_tenth_more(geo: str, expected: int) -> None:
    assert cost(card(), {"input_tokens": 1, "output_tokens": 0, "inference_geo": geo}) == expected


def test_thinking_is_paid_as_the_output_that_it_is_part_of() -> None:
    usage = {"input_tokens": 0, "output_tokens": 10, "output_tokens_details": {"thinking_tokens": 9}}

    assert cost(card(), usage) == 10 * 5_000_000


def test_the_prices_of_the_manifest_win_over_the_list() -> None:
    mine = Prices(input_per_million=7, output_per_million=0.125, cache_read_per_million=0.1)
    experiment = Experiment(
        experiment_id="x", model="claude-haiku-4-5", max_tokens=1, dataset_path=Path("d.json"), prices=mine
    )
    found = card_of(experiment, at=TODAY)

    assert found is not None
    assert found.source == "manifest"
    usage = {"input_tokens": 1, "output_tokens": 8, "cache_read_input_tokens": 3, "service_tier": "priority"}
    assert cost(found, usage) == 7_000_000 + 8 * 125_000 + 3 * 100_000


def test_tokens_written_to_the_cache_have_no_cost_while_the_manifest_gives_no_price() -> None:
    found = from_manifest("x", Prices(input_per_million=1, output_per_million=1))

    assert cost(found, {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 1}) is None


def test_the_card_is_written_as_a_price_list() -> None:
    shown = card("claude-haiku-5-5").as_json()

    assert dump_pretty(shown)
    assert shown["source"] == f"genai-prices {genai_prices.__version__}"
    assert shown["standard"]["input"] == 0.1
    assert shown["standard"]["tiers"][0]["prompt_tokens_above"] == 100_000
    assert shown["standard"]["tiers"][0]["output"] == 2.5


@given(
    model=st.sampled_from([*MODELS, "own"]),
    fresh=st.integers(0, 300_000),
    written=st.integers(0, 300_000),
    hour=st.floats(0, 1),
    read=st.integers(0, 300_000),
    out=st.integers(0, 64_000),
    slack=st.tuples(st.integers(0, 300_000), st.integers(0, 64_000)),
    geo=st.sampled_from([None, "us", "global"]),
)
def test_no_reply_within_its_bounds_costs_more_than_the_ceiling(
    model: str,
    fresh: int,
    written: int,
    hour: float,
    read: int,
    out: int,
    slack: tuple[int, int],
    geo: str | None,
) -> None:
    own = Prices(input_per_million=3, output_per_million=9, cache_write_per_million=4, cache_read_per_million=5)
    found = from_manifest("own", own) if model == "own" else card(model)
    usage = {
        "input_tokens": fresh,
        "output_tokens": out,
        "cache_creation_input_tokens": written,
        "cache_creation": {"ephemeral_1h_input_tokens": int(written * hour)},
        "cache_read_input_tokens": read,
        "inference_geo": geo,
    }
    real = cost(found, usage)
    most = Ceiling(found).most(
        prompt=fresh + written + read + slack[0], output=out + slack[1], cached=bool(written or read)
    )

    assert real is not None
    assert real <= most


def test_the_arithmetic_is_far_cheaper_than_asking_the_library() -> None:
    usage = {"input_tokens": 1_000, "output_tokens": 200, "cache_read_input_tokens": 5, "service_tier": "standard"}
    found = card()

    ours = min(timeit.repeat(lambda: cost(found, usage), number=2_000, repeat=5)) / 2_000
    theirs = (
        min(
            timeit.repeat(lambda: library_price("claude-haiku-4-5", usage, at=TODAY, context=None), number=50, repeat=5)
        )
        / 50
    )

    assert ours < theirs / 10


def test_nobody_loads_the_price_list_who_asks_for_no_price(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom profiler.cli.main import main\n"
        "assert main(sys.argv[1:]) == 0\nassert 'genai_prices' not in sys.modules\n"
    )
    config = ROOT / "configs" / "sample_experiment.yaml"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "--config", config, "--output-dir", tmp_path, "--mode", "mock", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
