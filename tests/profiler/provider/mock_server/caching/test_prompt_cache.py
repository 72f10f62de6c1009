"""What is read from the cache and written to it, on a clock of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from profiler.provider.mock_server.caching import prompt_cache
from profiler.provider.mock_server.caching.prompt_cache import PromptCache
from profiler.provider.mock_server.reading.models import Models
from tests.profiler.provider.mock_server.reading.asking import TOOL, exchange, read

if TYPE_CHECKING:
    from profiler.provider.mock_server.reading.prompts import NewMessage

MODELS = Models()
MARK, HOUR = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}


def text(letter: str, *, tokens: int = 5000, mark: dict[str, str] | None = None) -> dict[str, Any]:
    return {"type": "text", "text": letter * tokens * 4} | ({"cache_control": mark} if mark else {})


def ask(cache: PromptCache, wanted: NewMessage, *, at: float = 0.0, begins_at: float | None = None) -> dict[str, Any]:
    """One request that is answered; its usage."""
    use = cache.look(wanted, MODELS.find(wanted.model), now=at)
    assert use is not None
    cache.keep(use, now=at, ready_at=at if begins_at is None else begins_at)
    usage = use.usage(wanted.input_tokens)
    total = usage["input_tokens"] + usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
    assert total == wanted.input_tokens
    assert sum(usage["cache_creation"].values()) == usage["cache_creation_input_tokens"]
    return usage


def read_and_written(usage: dict[str, Any]) -> tuple[int, int]:
    """In thousands of tokens, which is what the texts of these tests are made of."""
    return usage["cache_read_input_tokens"] // 1000, usage["cache_creation_input_tokens"] // 1000


def test_what_is_marked_is_written_once_and_read_from_then_on() -> None:
    cache, wanted = PromptCache(), read(system=[text("a", mark=MARK)])

    assert [read_and_written(ask(cache, wanted, at=at)) for at in (0, 1, 2)] == [(0, 5), (5, 0), (5, 0)]


def test_what_is_not_marked_is_not_kept() -> None:
    assert PromptCache().look(read(system=[text("a")]), MODELS.find("claude-haiku-4-5"), now=0) is None


def test_it_is_the_same_prefix_whatever_comes_after() -> None:
    cache = PromptCache()
    ask(cache, read(system=[text("a", mark=MARK)], messages=exchange("one")))

    assert read_and_written(ask(cache, read(system=[text("a", mark=MARK)], messages=exchange("two")))) == (5, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "claude-sonnet-4-6"},
        {"system": [text("b", mark=MARK)]},
        {"tools": [TOOL]},
    ],
)
def test_another_prefix_is_not_read(changes: dict[str, Any]) -> None:
    cache = PromptCache()
    ask(cache, read(system=[text("a", mark=MARK)]))

    assert read_and_written(ask(cache, read(**{"system": [text("a", mark=MARK)]} | changes))) == (0, 5)


def test_what_the_model_may_do_changes_only_what_it_reads_of_the_messages() -> None:
    cache = PromptCache()
    asked: dict[str, Any] = {
        "system": [text("a", mark=MARK)],
        "messages": exchange([text("b", mark=MARK)]),
        "tools": [TOOL],
    }
    ask(cache, read(**asked))

    assert read_and_written(ask(cache, read(**asked, tool_choice={"type": "any"}))) == (5, 5)


def test_an_entry_can_be_read_once_the_answer_that_wrote_it_has_begun() -> None:
    cache, wanted = PromptCache(), read(system=[text("a", mark=MARK)])
    ask(cache, wanted, at=0, begins_at=2.0)

    assert read_and_written(ask(cache, wanted, at=1.9, begins_at=4.0)) == (0, 5)
    assert read_and_written(ask(cache, wanted, at=2.0)) == (5, 0)


@pytest.mark.parametrize(("mark", "life_s"), [(MARK, 300), (HOUR, 3600)])
def test_an_entry_lives_its_time_and_reading_it_starts_that_anew(mark: dict[str, str], life_s: int) -> None:
    cache, wanted = PromptCache(), read(system=[text("a", mark=mark)])
    times = [0, life_s - 1, 2 * life_s - 2, 3 * life_s - 2]

    assert [read_and_written(ask(cache, wanted, at=at))[0] for at in times] == [0, 5, 5, 0]


def test_the_two_lifetimes_are_told_apart() -> None:
    usage = ask(PromptCache(), read(system=[text("a", mark=HOUR)], messages=exchange([text("b", mark=MARK)])))

    kinds = {name: tokens // 1000 for name, tokens in usage["cache_creation"].items()}
    assert kinds == {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 5}


@pytest.mark.parametrize(
    ("model", "least"), [("claude-haiku-4-5", 4096), ("claude-sonnet-4-6", 1024), ("claude-opus-5", 512)]
)
def test_a_prefix_below_the_least_of_its_model_is_not_kept(model: str, least: int) -> None:
    def written(tokens: int) -> int:
        wanted = read(model=model, system=[text("a", tokens=tokens, mark=MARK)])
        created: int = ask(PromptCache(), wanted)["cache_creation_input_tokens"]
        return created

    assert written(least - 20) == 0
    assert written(least) >= least


def test_a_conversation_that_goes_on_reads_what_the_turn_before_has_written() -> None:
    cache = PromptCache()
    first = exchange([text("a")])
    second = [*first, *exchange("x", [text("b")], [text("c")])[1:]]
    usages = [ask(cache, read(messages=messages, cache_control=MARK)) for messages in (first, second, second)]

    assert [read_and_written(usage) for usage in usages] == [(0, 5), (5, 10), (15, 0)]


def test_an_entry_is_looked_for_no_further_back_than_the_api_looks() -> None:
    def written_after(parts: int) -> tuple[int, int]:
        cache = PromptCache()
        start = [text("a", mark=MARK)]
        ask(cache, read(messages=exchange(start)))
        more = [{"type": "text", "text": str(number)} for number in range(parts - 1)]
        return read_and_written(ask(cache, read(messages=exchange([text("a"), *more, text("z", mark=MARK)]))))

    assert written_after(19) == (5, 5)
    assert written_after(20) == (0, 10)


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_cache, "MOST_ENTRIES", 3)
    cache = PromptCache()
    asked = [read(system=[text(letter, mark=MARK)]) for letter in "abcd"]
    for wanted in asked:
        ask(cache, wanted)

    assert len(cache) == 3
    assert read_and_written(ask(cache, asked[3])) == (5, 0)
    assert read_and_written(ask(cache, asked[0])) == (0, 5)
