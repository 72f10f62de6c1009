"""What is to be left out of a report is nowhere in its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.errors import UsageError
from profiler.results.report.privacy import Privacy
from tests.profiler.results.report.making import failure, item, make_run
from tests.profiler.results.report.written import blocks, everything, write

if TYPE_CHECKING:
    from pathlib import Path


def test_without_texts_none_is_in_the_file(tmp_path: Path) -> None:
    private: dict[str, Any] = {
        "asked_prompt": {"system": "PRIVATE_7", "user": "PRIVATE_7?"},
        "asked_metadata": {"customer": "PRIVATE_7"},
        "asked_required_facts": ["PRIVATE_7"],
        "asked_expected": "PRIVATE_7",
    }
    lines = [
        item(0, "PRIVATE_7", replies=["PRIVATE_7", "PRIVATE_7"], **private),
        failure(1, "'PRIVATE_7' is too long", **private),
    ]
    run = make_run(tmp_path / "mine", lines, identity={"model": "m", "system": "PRIVATE_7"})

    written = write(tmp_path / "r.html", run, texts=False)

    assert not written.texts
    assert "PRIVATE_7" not in everything(tmp_path / "r.html")
    assert blocks(tmp_path / "r.html")["facts"]["texts"] is False


def test_a_dropped_field_is_nowhere_in_the_file(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "mine",
        [item(0, asked_tags=["PRIVATE_7"], asked_metadata={"customer": "PERSON_7", "kept": "yes"})],
        identity={"model": "m"},
    )

    write(tmp_path / "r.html", run, drop=["tags", "metadata.customer", "cost_usd"])

    whole = everything(tmp_path / "r.html")
    assert "PRIVATE_7" not in whole
    assert "PERSON_7" not in whole
    assert '"kept":"yes"' in whole
    found = blocks(tmp_path / "r.html")
    assert "cost_usd" not in found["columns"]["runs"][0]["measures"]
    assert found["facts"]["dropped"] == ["tags", "metadata.customer", "cost_usd"]


def test_a_field_that_no_line_has_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine", [item(0)])

    with pytest.raises(UsageError, match=r"--drop metadata\.custmer: no line"):
        write(tmp_path / "r.html", run, drop=["metadata.custmer"])

    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_a_report_needs_cannot_be_dropped() -> None:
    with pytest.raises(UsageError, match="--drop type"):
        Privacy(drop=["type"], environ={})


def test_no_secret_is_in_the_file(tmp_path: Path) -> None:
    secret = "a-very-secret-word"
    lines = [
        item(0, f"the key is {secret} or sk-ant-api03-abcdefgh"),
        failure(1, "Bearer abcdefghijkl was refused"),
    ]
    identity = {"model": "m", "request": {"api_key": "hunter2hunter2"}, "system": "sk-ant-xyz-123"}
    run = make_run(tmp_path / "mine", lines, identity=identity)

    write(tmp_path / "r.html", run, environ={"MY_API_KEY": secret})

    whole = everything(tmp_path / "r.html")
    for word in (secret, "sk-ant-api03", "abcdefghijkl", "hunter2", "sk-ant-xyz"):
        assert word not in whole
    assert "[redacted]" in whole
