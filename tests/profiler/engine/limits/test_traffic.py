from __future__ import annotations

from profiler.engine.limits.draw import Draw
from profiler.engine.limits.traffic import Traffic


def call(traffic: Traffic, *, now: float = 0.0) -> Draw:
    draw = Draw(10.0, 20.0, max_tokens=100)
    traffic.left(draw, now=now)
    return draw


def amounts(draw: Draw) -> tuple[float, float, float]:
    return draw.requests, draw.input_tokens, draw.output_tokens


def test_a_call_counts_as_it_was_guessed_while_it_is_in_flight_and_as_it_was_when_it_has_ended() -> None:
    traffic = Traffic()
    first, second = call(traffic), call(traffic)
    assert amounts(traffic.in_flight) == amounts(traffic.used) == (2.0, 20.0, 40.0)
    traffic.ended(first, input_tokens=12, output_tokens=7)
    assert (amounts(traffic.in_flight), amounts(traffic.used)) == ((1.0, 10.0, 20.0), (2.0, 22.0, 27.0))
    traffic.ended(second, input_tokens=0, output_tokens=0)
    assert (len(traffic), amounts(traffic.in_flight), amounts(traffic.used)) == (0, (0.0, 0.0, 0.0), (2.0, 12.0, 7.0))


def test_calls_that_left_until_a_moment_are_counted_together() -> None:
    traffic = Traffic()
    for now in (1.0, 2.0, 3.0):
        call(traffic, now=now)
    assert traffic.first_left_at == 1.0
    assert amounts(traffic.left_until(2.0)) == (2.0, 20.0, 40.0)


def test_calls_in_flight_give_back_the_rest_of_their_max_tokens_when_they_end() -> None:
    traffic = Traffic()
    first = call(traffic)
    assert traffic.take_max_tokens() == 80
    assert (first.output_tokens, traffic.in_flight.output_tokens) == (100, 100)
    traffic.ended(first, input_tokens=10, output_tokens=5)
    assert (traffic.in_flight.output_tokens, traffic.used.output_tokens) == (0, 5)
