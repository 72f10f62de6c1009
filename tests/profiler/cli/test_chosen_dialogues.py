"""Runs of some dialogues of a dataset: by id, by tag, by chance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.profiler.cli.shell import Said, Shell


def chosen_manifest(folder: Path, count: int = 40) -> Path:
    rows = [
        {"dialogue_id": f"d{n}", "user": "q", "required_facts": ["q"], "tags": ["rare" if n % 10 == 0 else "usual"]}
        for n in range(count)
    ]
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "m.yaml"
    path.write_text("{experiment_id: e, model: claude-haiku-4-5, max_tokens: 9, dataset_path: d.jsonl}")
    return path


def asked_ids(shell: Shell) -> list[str]:
    lines = [json.loads(line) for line in (shell.runs / "e" / "requests.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(len(lines)))
    return [line["dialogue_id"] for line in lines]


def test_a_run_asks_the_dialogues_that_one_chooses(shell: Shell, tmp_path: Path) -> None:
    path = chosen_manifest(tmp_path)
    (tmp_path / "ids.txt").write_text("\ufeffd7\r\n\nd3\n")

    assert shell.run(path, "--ids", "d30, d2", "--ids-from", str(tmp_path / "ids.txt")).code == 0
    assert asked_ids(shell) == ["d2", "d3", "d7", "d30"]
    assert shell.run(path, "--fresh", "--tag", "rare", "--limit", "3").code == 0
    assert asked_ids(shell) == ["d0", "d10", "d20"]
    assert shell.run(path, "--fresh", "--sample", "10", "--by", "tag").code == 0
    pilot = asked_ids(shell)
    assert len([name for name in pilot if name.endswith("0")]) == 1
    assert shell.run(path, "--fresh", "--sample", "20", "--by", "tag").code == 0
    assert set(pilot) < set(asked_ids(shell))
    assert json.loads((shell.runs / "e" / "summary.json").read_text())["counts"]["total"] == 20


def test_another_choice_is_another_run(shell: Shell, tmp_path: Path) -> None:
    path = chosen_manifest(tmp_path)
    assert shell.run(path, "--sample", "10").code == 0
    assert "already complete" in shell.run(path, "--sample", "10").err
    for words in (("--sample", "10", "--seed", "1"), ("--sample", "11"), ("--ids", "d1"), ("--tag", "rare"), ()):
        said = shell.run(path, *words)
        assert said.code == 2
        assert "selection" in said.err


def test_a_dry_run_reckons_what_is_chosen(shell: Shell, tmp_path: Path) -> None:
    path = chosen_manifest(tmp_path)
    [found] = shell.run(path, "--dry-run", "--json", "--tag", "rare").json["dry_run"]
    assert found["dialogues"] == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--ids", "d1,d99"), "no dialogue has the id 'd99'"),
        (("--ids", " , "), "--ids: found no id"),
        (("--ids-from", "nowhere.txt"), "nowhere.txt: cannot be read"),
        (("--tag", "none"), "none of its 40 dialogues is selected"),
        (("--seed", "3"), "add --sample N"),
        (("--by", "tag"), "add --sample N"),
        (("--sample", "0"), "at least 1"),
    ],
)
def test_a_choice_of_nothing_is_a_mistake(shell: Shell, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    path = chosen_manifest(tmp_path)
    try:
        found = shell.run(path, *words)
    except SystemExit as left:
        found = Said(int(str(left.code)), *shell.capsys.readouterr())
    assert found.code == 2
    assert said in found.err
    assert not (shell.runs / "e" / "journal.jsonl").exists()
