"""Keys of a request and versions that a manifest sends along."""

from __future__ import annotations

import pytest

from tests.profiler.manifest.loading import BASE, DEFAULTS, load, problem, problems

pytestmark = pytest.mark.usefixtures("folder")

SENT = """
tools:
  - {name: look_up, input_schema: {type: object}}
  - input_schema: {type: object}
tool_choice: {type: tool, name: other}
output_format: {type: json_schema, schema: {type: objct}}
request:
  model: x
"""


def test_mistakes_in_what_is_sent_are_told_where_they_stand() -> None:
    found = {(p.line, p.column): p.message for p in problems(BASE + SENT)}

    assert list(found) == [(8, 5), (9, 33), (10, 44), (12, 3)]
    assert found[8, 5] == "found no 'name', expected it"
    assert found[9, 33] == "found the tool 'other', expected one of look_up"
    assert found[10, 44].startswith("found no JSON Schema that answers can be checked with: $.type: 'objct'")
    assert found[12, 3] == "found 'model', which is not sent as it stands"


def test_request_is_merged_key_by_key_and_null_takes_a_key_away() -> None:
    text = DEFAULTS.replace("}", ", request: {a: 1, b: {c: null}}}")
    experiments = load(text + "experiments:\n- {experiment_id: x, request: {a: null, d: [1]}}\n").experiments

    assert [each.request for each in experiments] == [{"b": {"c": None}, "d": [1]}]


@pytest.mark.parametrize("provider", ["bedrock", "vertex"])
def test_a_version_that_a_platform_would_not_look_at_is_refused(provider: str) -> None:
    assert problem(BASE + f"provider: {provider}\napi_version: 2023-06-01\n").message == (
        f"found api_version with provider {provider}, which has a version of its own"
    )


def test_a_key_of_request_that_nobody_knows_is_sent_with_a_warning() -> None:
    [warning] = load(BASE + "request: {servce_tier: auto, service_tier: auto, mcp_servers: []}\n").warnings

    assert (warning.line, warning.column, warning.hint) == (5, 11, "did you mean 'service_tier'?")
    assert warning.message == "found 'servce_tier', which the official SDK does not know; it is sent all the same"
