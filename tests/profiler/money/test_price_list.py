from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest

from profiler.money import price_list
from profiler.money.price_list import FROZEN, Frozen, frozen_card, library_card, look_up
from tests.regenerate import frozen_prices

if TYPE_CHECKING:
    from pathlib import Path

MODELS = sorted(msgspec.json.decode(FROZEN.read_bytes(), type=Frozen).models)
DAYS = [
    datetime(*day, 11, 30, tzinfo=UTC)
    for day in ((2024, 1, 1), (2026, 3, 12), (2026, 3, 13), (2026, 10, 13), (2026, 10, 14), (2027, 1, 1))
]


def test_what_is_frozen_is_what_the_installed_library_says() -> None:
    assert FROZEN.read_bytes() == frozen_prices(), "genai-prices or the SDK has changed: make docs"


@pytest.mark.parametrize("model", MODELS)
def test_a_frozen_card_is_the_librarys_on_every_day(model: str) -> None:
    assert {at: frozen_card(model, at=at) for at in DAYS} == {at: library_card(model, at=at) for at in DAYS}


def test_a_price_changes_on_its_day() -> None:
    before, after = (frozen_card("claude-sonnet-4-6", at=at) for at in DAYS[1:3])

    assert before is not None
    assert after is not None
    assert before.standard != after.standard


def test_a_model_that_is_not_frozen_is_asked_of_the_library() -> None:
    name = "claude-haiku-4-5-20990101"

    assert frozen_card(name, at=DAYS[-1]) is None
    assert look_up(name, at=DAYS[-1]) == library_card(name, at=DAYS[-1]) is not None


def test_another_version_of_the_library_is_asked_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "frozen.json"
    other.write_bytes(FROZEN.read_bytes().replace(b'"genai_prices": "', b'"genai_prices": "0.', 1))
    monkeypatch.setattr(price_list, "FROZEN", other)

    assert frozen_card("claude-haiku-4-5", at=DAYS[-1]) is None
    assert look_up("claude-haiku-4-5", at=DAYS[-1]) == library_card("claude-haiku-4-5", at=DAYS[-1])


def test_a_frozen_price_is_known_without_the_library() -> None:
    code = (
        "import sys\n"
        "from datetime import UTC, datetime\n"
        "from profiler.money.price_list import look_up\n"
        "assert look_up('claude-haiku-4-5', at=datetime.now(UTC)).standard.base.output == 5_000_000\n"
        "assert 'genai_prices' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
