"""The cap, reckoned with what the server has counted: whatever happens, it is not passed."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from profiler.money.price_list import look_up
from profiler.money.prices import cost, dollars
from tests.faults.live import Provider, live_run, live_site, provider
from tests.faults.runs import COMPLETE, Ended, dialogues, whole_records

if TYPE_CHECKING:
    from pathlib import Path

CAP_USD = 0.01
TROUBLES: dict[str, dict[str, float]] = {
    "none": {},
    "broken replies": {"half-body": 0.1, "reset": 0.1, "html": 0.05},
    "refusals": {"500": 0.1, "429-zero": 0.02, "400": 0.05},
}


def billed_usd(provider: Provider) -> float:
    """What the server has counted, those answers included that never arrived."""
    card = look_up("claude-haiku-4-5", at=datetime.now(UTC))
    assert card is not None
    tokens = provider.stats["tokens"]
    found = cost(card, {"input_tokens": tokens["input"], "output_tokens": tokens["output"]})
    assert found is not None
    return dollars(found)


def told_cap(run: Ended) -> list[str]:
    """The cap in the command that the run prints."""
    words = shlex.split(run.err.partition("resume with: ")[2].splitlines()[0])
    at = words.index("--max-cost")
    return words[at : at + 2]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_cap_is_never_passed_and_the_printed_command_goes_on(tmp_path: Path, trouble: str) -> None:
    site = live_site(tmp_path, dialogues(200), concurrency=32, retry={"max_attempts": 2, "deadline_s": 60})
    with provider(site, faults=TROUBLES[trouble]) as paid:
        run = live_run(site, "--max-cost", f"{CAP_USD}")

        assert run.code == 4, run
        assert CAP_USD / 2 < billed_usd(paid) <= CAP_USD or trouble != "none"
        assert billed_usd(paid) <= CAP_USD
        assert 0 < len(site.answered()) < 200

        caps = [CAP_USD]
        while run.code == 4:
            cap = told_cap(run)
            caps.append(float(cap[1]))
            run = live_run(site, *cap)
            assert billed_usd(paid) <= caps[-1]
        asked = paid.stats["asked"]

    assert run.code == 0, run
    assert caps == sorted(set(caps))
    assert len(caps) < 12
    assert asked["after_an_answer"] == 0
    assert len(whole_records(site.responses)) == 200
    assert set(site.results()) == COMPLETE


def test_the_summary_says_what_the_server_has_billed(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(40))
    with provider(site) as paid:
        run = live_run(site, "--json")
        billed = billed_usd(paid)

    found: dict[str, Any] = run.json["experiments"][0]["summary"]
    assert found["cost_usd"] == pytest.approx(billed)
    assert found["run"]["spent_usd"] == pytest.approx(billed)
    assert found["run"]["maybe_billed_usd"] == 0.0
