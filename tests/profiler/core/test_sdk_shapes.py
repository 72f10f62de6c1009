"""The table of shapes holds all that the installed SDK knows. Red after an upgrade of the SDK: run `make shapes`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.shapes import table
from profiler.provider.mock_server.reading.models import ALIASES, IDS
from tests.profiler.core.sdk_walk import TABLE, walk, written

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    return walk()


@pytest.fixture(scope="module")
def held() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(TABLE.read_text())
    return read


def facts(table: dict[str, Any]) -> Iterator[str]:
    """Each field of each structure with each alternative of its shape, as one text."""
    for name, structure in table["structures"].items():
        yield name
        for field, (_, shape) in structure["fields"].items():
            yield f"{name}.{field}"
            yield from (f"{name}.{field}: {leaf}" for leaf in leaves(shape))


def leaves(shape: Any) -> Iterator[str]:
    if isinstance(shape, str):
        yield shape
    elif shape[0] == "=":
        yield from map(repr, shape[1:])
    else:
        for inner in shape[1:]:
            yield from (f"{shape[0]} {leaf}" for leaf in leaves(inner))


def test_the_table_holds_all_that_the_installed_sdk_knows(known: dict[str, Any], held: dict[str, Any]) -> None:
    assert set(facts(known)) - set(facts(held)) == set()


def test_a_field_that_the_table_lacks_is_noticed(known: dict[str, Any], held: dict[str, Any]) -> None:
    del held["structures"]["message"]["fields"]["tools"]

    assert "message.tools" in set(facts(known)) - set(facts(held))


def test_with_the_sdk_that_wrote_it_the_table_is_what_the_script_writes(known: dict[str, Any]) -> None:
    if known["sdk"] != table().sdk:
        pytest.skip(f"the table was written with {table().sdk}, and {known['sdk']} is installed")
    assert TABLE.read_text() == written(known)


def test_every_model_that_the_sdk_names_is_known(known: dict[str, Any]) -> None:
    assert set(known["models"]) == {*IDS, *ALIASES}


def test_what_travels_in_a_header_is_no_field_of_the_body(known: dict[str, Any]) -> None:
    fields = known["structures"]["beta_message"]["fields"]

    assert {"thread", "mcp_servers", "max_tokens"} <= set(fields)
    assert not {"betas", "user_profile_id", "workspace_id"} & set(fields)
