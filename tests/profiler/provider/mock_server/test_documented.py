"""docs/mock_server.md says of every field, keyword and model what the code does with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from profiler.core.shapes import table
from profiler.provider.inventing.tool_calls import OWN_TOOLS
from profiler.provider.mock_server.admission.faults import BATCH_CREATE_FAULTS, BATCH_RESULTS_FAULTS
from profiler.provider.mock_server.admission.faults import NAMES as FAULTS
from profiler.provider.mock_server.app import App
from profiler.provider.mock_server.endpoints import ALL, GROUPS, NAMES
from profiler.provider.mock_server.history.journal import FILTERS
from profiler.provider.mock_server.reading.models import KNOWN
from profiler.provider.mock_server.reading.prompts import NewMessage
from profiler.provider.mock_server.reading.requests import SAMPLING
from profiler.provider.mock_server.reading.schema_subset import ANYWHERE, FORMATS, OF_TYPE
from profiler.provider.mock_server.server import MockServer
from profiler.provider.mock_server.settings import ServerSettings

DOCUMENT = (Path(__file__).resolve().parents[4] / "docs" / "mock_server.md").read_text(encoding="utf-8")
OF_THE_SERVER = {"plain", "input_tokens"}  # what no client sends


def rows(heading: str) -> dict[str, str]:
    """A table, by what stands in its first column."""
    (found,) = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", DOCUMENT, flags=re.MULTILINE)
    cells = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in found.splitlines()]
    return {first.strip("`"): " | ".join(others) for first, *others in cells}


def names(opening: str, closing: str) -> set[str]:
    (found,) = re.findall(rf"{opening}(.*?){closing}", DOCUMENT, flags=re.DOTALL)
    return set(re.findall(r"`([^`]+)`", found))


def test_every_field_of_a_request_is_in_the_table() -> None:
    roots = [table().structures[root] for root in ("message", "beta_message", "count_tokens", "beta_count_tokens")]

    assert set(rows("field of a request")) == {*SAMPLING, *(name for root in roots for name in root.fields)}


def test_what_is_said_to_be_ignored_is_what_no_answer_is_made_from() -> None:
    said = rows("field of a request")
    ignored = {name for name, how in said.items() if how.startswith("ignored")}

    assert set(said) - ignored == set(NewMessage.__struct_fields__) - OF_THE_SERVER
    assert all(how.startswith(("true", "plausible", "ignored")) for how in said.values())


def test_the_keywords_of_strict_mode_are_listed() -> None:
    assert names("Anywhere: ", r"\. In objects") == ANYWHERE
    assert names("In objects: ", r"\. In arrays") - {"false"} == OF_TYPE["object"]
    assert names("In arrays: ", r"\. In strings") == OF_TYPE["array"]
    assert names("which is one of ", r"\. No schema") == set(FORMATS)


def test_the_tools_that_are_called_without_a_schema_are_listed() -> None:
    assert names(r"run at the client\s\(", r"\) are called") == {f"{name}…" for name in OWN_TOOLS}


def test_the_models_are_in_the_table_with_what_they_take() -> None:
    assert rows("model") == {
        model: " | ".join(
            (
                *(f"{limit:,}" for limit in (takes.context, takes.max_output, takes.cache_minimum)),
                ", ".join(takes.thinking),
                ", ".join(takes.efforts) or "none",
            )
        )
        for model, takes in KNOWN.items()
    }


def test_every_endpoint_is_in_the_table_and_has_a_name_for_faults() -> None:
    told = rows("endpoint")

    assert set(told) == {endpoint.name for endpoint in ALL}
    assert all(how.startswith(("true", "plausible", "ignored")) for how in told.values())
    assert names("Endpoints are ", r" is one request of a batch") == {*NAMES, *GROUPS}


def test_every_fault_is_in_a_table() -> None:
    told = [name for heading in ("names", "fault of batches") for cell in rows(heading) for name in cell.split("` `")]

    assert sorted({name for cell in told for name in cell.split()}) == sorted(FAULTS)
    of_batches = {name for cell in rows("fault of batches") for name in cell.replace("`", "").split()}
    assert of_batches == {*BATCH_CREATE_FAULTS, *BATCH_RESULTS_FAULTS}


def test_every_path_of_its_own_is_in_the_table_with_its_filters() -> None:
    told = {call for cell in rows("path") for call in cell.replace("`", "").split(", ")}

    assert told == {f"{method} {path}" for method, path in App(ServerSettings())._control.paths}
    assert set(re.findall(r"(\w+)=`", rows("path")["GET /__requests"])) == set(FILTERS)


@pytest.mark.parametrize(
    "name", ["stats", "requests", "assert_requests", "set_faults", "set_limits", "advance", "reset"]
)
def test_what_a_server_has_in_tests_is_there(name: str) -> None:
    assert f"`{name}" in DOCUMENT
    assert hasattr(MockServer, name)
