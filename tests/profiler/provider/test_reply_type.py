from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from profiler.provider import reply_type
from profiler.provider.reply_type import classify

REFUSALS = [
    "I can't help with that.",
    "I can’t help with that.",
    "I CANNOT ASSIST WITH THIS REQUEST",
    "I'm sorry, but I can't assist with that request.",
    "Sorry, I can't do that.",
    "I’m sorry. I won't provide instructions for that.",
    "I apologize, but I am unable to help you make this.",
    "Unfortunately, I'm not able to share that.",
    "As an AI language model, I cannot provide medical advice.",
    "I'm sorry, but as an AI, I can't create that.",
    "I must respectfully decline.",
    "I'll have to decline this one.",
    "I have to refuse.",
    "I'm not comfortable helping with that.",
    "I don't feel comfortable writing this.",
    "That's not something I can help with.",
    "This is something I can't assist with.",
    "That isn’t something I'm able to provide.",
    "No, I won't help with that.",
    '  "I can\'t help you with that."',
    "I can't tell you how to build one.",
    "I cannot in good conscience assist with that.",
]
ANSWERS = [
    "",
    "I",
    "I can't recommend this book enough!",
    "I cannot overstate how important sleep is.",
    "I can't help but smile.",
    "I can't help thinking of Paris.",
    "I can't give this film enough praise.",
    "I can't wait to see it.",
    "I won't lie: it is hard.",
    "I'm sorry for your loss.",
    "Sorry to hear that! Try turning it off.",
    "I'm not able to find a flaw in your proof.",
    "This is something I can explain.",
    "The phrase 'I can't help with that' is a refusal.",
    "Paris. I can't help with the rest.",
    "I can't tell you how happy I am.",
    "I'm going to help you.",
    "That's a good question.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_known_phrase_at_the_start_is_a_refusal(text: str) -> None:
    assert classify(text, "end_turn", {}) == "refusal"


@pytest.mark.parametrize("text", ANSWERS)
def test_a_phrase_that_declines_nothing_is_an_answer(text: str) -> None:
    assert classify(text, "end_turn", {}) == "answer"


def test_the_stop_reason_is_the_strongest_evidence() -> None:
    assert classify("Sure!", "refusal", {"type": "answer"}) == "refusal"


def test_the_metadata_is_stronger_than_the_phrases() -> None:
    assert classify("Sure!", "end_turn", {"type": "refusal"}) == "refusal"
    assert classify("I can't help with that.", "end_turn", {"type": "answer"}) == "answer"


@pytest.mark.parametrize("metadata", [None, {}, {"type": "safety"}, {"type": ["refusal"]}, {"type": None}])
def test_metadata_that_says_nothing_leaves_it_to_the_phrases(metadata: dict[str, object] | None) -> None:
    assert classify("I can't help with that.", "end_turn", metadata) == "refusal"


@pytest.mark.parametrize("stop_reason", ["max_tokens", "model_context_window_exceeded"])
def test_a_reply_that_ran_out_of_room_is_truncated(stop_reason: str) -> None:
    assert classify("The answer is", stop_reason, {}) == "truncated"
    assert classify("I can't help with", stop_reason, {}) == "refusal"


def test_the_metadata_can_say_truncated() -> None:
    assert classify("The answer is", None, {"type": "truncated"}) == "truncated"


@given(st.sampled_from(REFUSALS), st.sampled_from("'’‘ʼ`"), st.booleans())
def test_case_and_apostrophes_do_not_matter(text: str, apostrophe: str, upper: bool) -> None:
    changed = text.replace("’", "'").replace("'", apostrophe)
    assert classify(changed.upper() if upper else changed.lower(), None, None) == "refusal"


# Without letters such as the long s, which the pattern takes for others.
LETTERS = st.characters(codec="ascii") | st.sampled_from("’‘ʼ“—–\x85\u2003")


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None, max_examples=25)
@given(st.from_regex(reply_type._refusal(), alphabet=LETTERS))
def test_the_quick_look_passes_whatever_the_pattern_matches(text: str) -> None:
    assume(reply_type._refusal().match(text, 0, reply_type.OPENING_CHARS))
    assert classify(text, None) == "refusal"


def test_whatever_stands_behind_a_greeting_the_refusal_is_seen() -> None:
    for mark in map(chr, (*range(33, 48), *range(58, 65), 0x85, 0x2014, 0x3002)):
        for greeting in ("No", "hi"):
            text = f"{greeting}{mark} there. I refuse"
            assert classify(text, None) == ("refusal" if reply_type._refusal().match(text) else "answer"), text


@given(st.text(max_size=400))
def test_any_text_gets_a_type(text: str) -> None:
    assert classify(text, None, None) in {"answer", "refusal"}
