"""A fault in one of many experiments touches no other, and one that is seen before the first call stops all."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from profiler.core.errors import CallError, ProviderFailed, RunDirectoryError, UsageError
from profiler.core.nouns import Reply
from profiler.engine import runner
from profiler.engine.runner import run_all
from profiler.manifest.settings import Experiment
from tests.profiler.engine.crowd import Crowd, experiments, files, options, states

if TYPE_CHECKING:
    from profiler.core.nouns import Request


async def test_a_fault_in_one_touches_no_other(tmp_path: Path) -> None:
    class Faulty(Crowd):
        async def complete(self, request: Request) -> Reply:
            if request.dialogue.dialogue_id == "b2":
                raise CallError("authentication", "no", status=401, fatal=True)
            return await super().complete(request)

    many = experiments(tmp_path, "a", "b", "c", "d")
    (tmp_path / "runs" / "c" / "requests.jsonl").mkdir(parents=True)  # no file can be written there
    ended = await run_all(many, options=options(tmp_path, mode="live"), client=Faulty())

    assert states(ended) == {"a": "complete", "b": "ProviderFailed", "c": "RunDirectoryError", "d": "complete"}
    assert {type(each.error) for each in ended if each.error} == {ProviderFailed, RunDirectoryError}


ODD = """
import asyncio
from profiler.core.nouns import Reply

def odd(number):
    usual = dict(completion="x", stop_reason="end_turn", model="m", usage={})
    match number % 8:
        case 0: return None
        case 1: return Reply(**{**usual, "completion": b"bytes"})
        case 2: return Reply(**{**usual, "usage": {"input_tokens": -1e999}})
        case 3: return Reply(**{**usual, "completion": "half \\ud800"})
        case 4: return Reply(**{**usual, "metadata": {"own": object()}})
        case 5: raise SystemExit(3)
        case 6: raise asyncio.CancelledError
        case 7: return Reply(**{**usual, "stop_reason": 7, "model": ["m"], "latency_s": float("nan")})

class Odd:
    def __init__(self, experiment):
        self.asked = 0

    async def complete(self, request):
        self.asked += 1
        if self.asked == 1:  # an answer first: five faults in a row before one would end the experiment
            return Reply(completion="fine", stop_reason="end_turn", model="m", usage={})
        return odd(self.asked)
"""


@pytest.mark.parametrize("raised", ["SystemExit(4)", "asyncio.CancelledError"])
async def test_a_metric_that_would_end_the_program_touches_no_other(tmp_path: Path, raised: str) -> None:
    (tmp_path / "ends.py").write_text(
        "import asyncio\n"
        "from profiler import mean\n"
        f"def leave(outcome): raise {raised}\n"
        "metric = mean('leaving', leave, lower=0, upper=1)\n"
    )
    many = [*experiments(tmp_path, "a", metrics=("ends:metric",)), *experiments(tmp_path, "b", "c")]
    ended = await run_all(many, options=options(tmp_path, search_path=tmp_path))
    assert set(states(ended).values()) == {"complete"}
    assert ended[0].result is not None
    assert "ends.py:3" in ended[0].result.summary["metrics"]["leaving"]["error"]


async def test_a_run_that_is_cancelled_from_within_is_not_taken_for_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(runner, "_ended", cancelled)
    ended = await run_all(experiments(tmp_path, "a", "b"), options=options(tmp_path))
    assert states(ended) == {"a": "RuntimeError", "b": "RuntimeError"}


async def test_odd_replies_of_one_experiments_client_touch_no_other(tmp_path: Path) -> None:
    """The files of the others are to the byte those that they have without it."""
    (tmp_path / "odd_replies_among_many.py").write_text(ODD)
    plain = experiments(tmp_path, "a", "c", "d", count=20)
    [odd] = experiments(tmp_path, "b", count=20, client="odd_replies_among_many:Odd")
    alone = await run_all(plain, options=options(tmp_path, output_dir=tmp_path / "alone", concurrency=4, mode="mock"))
    ended = await run_all(
        [plain[0], odd, *plain[1:]],
        options=options(tmp_path, concurrency=4, mode="mock", search_path=tmp_path),
    )

    assert states(ended) == dict.fromkeys("abcd", "complete")
    assert all(each.result for each in alone)
    for name in "acd":
        assert files(tmp_path / "runs" / name) == files(tmp_path / "alone" / name)
    records = [json.loads(line) for line in (tmp_path / "runs" / "b" / "responses.jsonl").read_text().splitlines()]
    kinds = Counter(record["type"] for record in records)
    assert (len(records), kinds["answer"] + kinds["error"]) == (20, 20)
    assert kinds["error"] >= 8


async def test_what_is_wrong_before_the_first_call_stops_all(tmp_path: Path) -> None:
    crowd = Crowd()
    many = experiments(tmp_path, "a", "b", "c")
    many[2].dataset_path.write_text("{not json}\n")
    many[1] = Experiment(
        experiment_id="b", model="m", max_tokens=1, dataset_path=many[1].dataset_path, metrics=("nothing",)
    )
    with pytest.raises(UsageError, match="2 of 3 experiments cannot run") as refused:
        await run_all(many, options=options(tmp_path), client=crowd)

    assert "nothing" in str(refused.value)
    assert "c.jsonl" in str(refused.value)
    assert crowd.asked == []


async def test_what_is_wrong_with_many_names_the_first_of_them_once(tmp_path: Path) -> None:
    names = [f"e{number:02}" for number in range(30)]
    many = experiments(tmp_path, *names, model="nobody-knows", max_cost_usd=1.0)
    with pytest.raises(UsageError, match="30 of 30 experiments cannot run") as refused:
        await run_all(many, options=options(tmp_path, mode="live"), client=Crowd())

    assert f"\n{', '.join(names[:20])} and 10 more: found a cap of $1.00" in str(refused.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no token')", r"ValueError: no token \(mine.py:2\)"),
        ("return 3", "made 3, which has no complete"),
    ],
)
async def test_an_own_client_that_cannot_be_made_stops_all(tmp_path: Path, body: str, said: str) -> None:
    (tmp_path / "mine.py").write_text(f"def make(experiment):\n    {body}\n")
    many = [*experiments(tmp_path, "a", "b"), *experiments(tmp_path, "c", "d", client="mine:make")]
    with pytest.raises(UsageError, match="2 of 4 experiments cannot run") as refused:
        await run_all(many, options=options(tmp_path, mode="mock", search_path=tmp_path))

    assert re.search(f"^c, d: client: 'mine:make' .*{said}", str(refused.value), re.MULTILINE)
    assert not (tmp_path / "runs").exists()


async def test_an_own_client_that_only_tries_it_out_is_closed(tmp_path: Path) -> None:
    (tmp_path / "made_and_closed.py").write_text(
        "open_now = []\n"
        "class Client:\n"
        "    def __init__(self, experiment): open_now.append(self)\n"
        "    async def complete(self, request): raise ValueError\n"
        "    async def aclose(self): open_now.remove(self)\n"
        "def left(experiment): raise ValueError(f'{len(open_now)} open')\n"
    )
    many = experiments(tmp_path, "a", client="made_and_closed:Client")
    many += experiments(tmp_path, "b", client="made_and_closed:left")
    with pytest.raises(UsageError, match=r"b: .* ValueError: 0 open"):
        await run_all(many, options=options(tmp_path, mode="mock", search_path=tmp_path))


@pytest.mark.parametrize("raised", ["RuntimeError('stuck')", "SystemExit(4)", "asyncio.CancelledError"])
async def test_an_own_client_that_cannot_be_closed_touches_no_other(tmp_path: Path, raised: str) -> None:
    (tmp_path / "open_for_ever.py").write_text(
        "import asyncio\n"
        "from profiler import Reply\n"
        "class Client:\n"
        "    def __init__(self, experiment): pass\n"
        "    async def complete(self, request):\n"
        "        return Reply(completion='yes', stop_reason='end_turn', model='m', usage={})\n"
        f"    async def aclose(self): raise {raised}\n"
    )
    many = [*experiments(tmp_path, "a", client="open_for_ever:Client"), *experiments(tmp_path, "b")]
    ended = await run_all(many, options=options(tmp_path, mode="mock", search_path=tmp_path))
    assert states(ended) == {"a": "RuntimeError", "b": "complete"}
