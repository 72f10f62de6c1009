"""The broker on the network, as a process that is killed, and what a worker without the token gets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import anyio
import msgspec
import pytest

from profiler.core.errors import LogError, Problem, ProfilerError, UsageError
from profiler.fleet.broker.desk import Desk
from profiler.fleet.broker.kept_money import NAME
from profiler.fleet.broker.messages import Envelope, Gone, MoneyUse, Renewal
from profiler.fleet.broker.process import TOKEN as PASSED_IN
from profiler.fleet.broker.process import BrokerProcess, tell_gone
from profiler.fleet.broker.server import BrokerServer
from profiler.fleet.broker.settings import BrokerSettings, Service
from profiler.fleet.broker.wire import Channel, place_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from profiler.fleet.broker.messages import Lease

TOKEN = "t0ken-of-this-run"
SETTINGS = BrokerSettings(workers=2, concurrency=8, cap=1000, answered_before=True)


def no_folder(path: Path) -> int | None:
    raise AssertionError(path)


@asynccontextmanager
async def serving(folder: Path, *, told: dict[str, int] | None = None) -> AsyncIterator[str]:
    money_of = no_folder if told is None else lambda path: told.get(path.name)
    desk = Desk(SETTINGS, folder=folder, money_of=money_of)
    async with BrokerServer(desk, token=TOKEN).serving("127.0.0.1", 0) as port:
        yield f"tcp://127.0.0.1:{port}"
    desk.close()


async def ask(address: str, message: Renewal | Gone, *, token: str = TOKEN) -> Lease | None:
    async with Channel(address, token=token) as channel:
        return await channel.ask(message)


def wants(who: str, seq: int, **use: object) -> Renewal:
    return Renewal(who=who, seq=seq, want_slots=4, money=MoneyUse(more=400, least=10, **use))  # type: ignore[arg-type]


async def test_the_lost_are_looked_for_at_the_desk_that_is_there_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.fleet.broker.desk.LOOK_EVERY_S", 0)
    server, looked = BrokerServer(None, token=TOKEN), anyio.Event()
    async with server.serving("127.0.0.1", 0):
        await anyio.lowlevel.checkpoint()  # while there is none
        server.desk = SimpleNamespace(give_up_the_overdue=looked.set)  # type: ignore[assignment]
        with anyio.fail_after(10):
            await looked.wait()


async def test_only_who_knows_the_token_gets_an_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as address:
        for wrong in (TOKEN[:-1] + "m", ""):
            with pytest.raises(UsageError, match="does not know the token"):
                await ask(address, wants("thief", 1), token=wrong)
        lease = await ask(address, wants("a", 1))

    assert lease is not None
    assert (lease.seq, lease.slots, lease.money) == (1, 4, 400)
    assert b"thief" not in (tmp_path / NAME).read_bytes()


async def test_a_worker_that_has_been_lent_something_takes_another_broker_at_the_address_for_one_that_is_gone(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as address, Channel(address, token=TOKEN) as channel:
        assert await channel.ask(wants("a", 1)) is not None
        await channel.close()
        channel._token = "that of before"
        assert await channel.ask(wants("a", 2)) is None


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b'"t0ken-of-this-run"\n{"renewal": 1}\n', b"\xff" * 2_000_000]
)
async def test_whoever_speaks_another_language_is_let_go_and_harms_nobody(tmp_path: Path, said: bytes) -> None:
    async with serving(tmp_path) as address:
        async with await anyio.connect_tcp(*place_of(address)) as stranger:
            with suppress(anyio.BrokenResourceError):
                await stranger.send(said)
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stranger.receive()
        assert await ask(address, wants("a", 1)) is not None


async def test_what_a_dead_worker_has_not_spent_by_its_folders_comes_back(tmp_path: Path) -> None:
    (tmp_path / "attempts" / "7").mkdir(parents=True)
    async with serving(tmp_path, told={"7": 90}) as address:
        await ask(address, wants("a", 1, candidates={"attempts/7": 50}, before=5))
        assert await tell_gone(address, "a", token=TOKEN)

    [first, *rest] = [json.loads(line) for line in (tmp_path / NAME).read_bytes().splitlines()]
    assert first == {"settled": 0}
    assert rest[-1] == {"who": "a", "settled": 45}


@pytest.mark.parametrize("candidate", ["attempts/gone", "../elsewhere"])
async def test_a_worker_whose_folder_cannot_be_read_counts_with_its_whole_slice(tmp_path: Path, candidate: str) -> None:
    root = tmp_path / "run"
    (tmp_path / "elsewhere").mkdir()
    async with serving(root, told={"elsewhere": 0}) as address:
        await ask(address, wants("a", 1, candidates={candidate: 0}))
        await ask(address, Gone(who="a"))

    assert json.loads((root / NAME).read_bytes().splitlines()[-1]) == {"who": "a", "settled": 400}


async def test_a_worker_whose_journal_is_damaged_counts_with_its_whole_slice(tmp_path: Path) -> None:
    def damaged(path: Path) -> int:
        raise LogError([Problem(path=str(path), message="is not what it should be")])

    (tmp_path / "attempts" / "7").mkdir(parents=True)
    desk = Desk(SETTINGS, folder=tmp_path, money_of=damaged)
    desk.answer(Envelope(renewal=wants("a", 1, candidates={"attempts/7": 0})))
    desk.answer(Envelope(gone=Gone(who="a")))
    desk.close()

    assert json.loads((tmp_path / NAME).read_bytes().splitlines()[-1]) == {"who": "a", "settled": 400}


async def test_a_broker_that_is_killed_is_replaced_at_the_same_address_and_has_lent_what_it_had_lent(
    tmp_path: Path,
) -> None:
    broker = BrokerProcess(tmp_path, SETTINGS, token=TOKEN)
    try:
        address = broker.address
        first = await ask(address, wants("a", 1))
        broker.kill()
        broker.restart()
        second = await ask(address, wants("b", 1))
        again = await ask(address, wants("a", 2, bound=400, billed=200))
    finally:
        broker.stop()

    assert broker.address == address
    assert [lease and lease.money for lease in (first, second, again)] == [400, 150, 512]
    assert TOKEN.encode() not in (tmp_path / NAME).read_bytes()


def test_a_second_broker_for_the_same_money_is_refused(tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path, SETTINGS, token=TOKEN)
    try:
        with pytest.raises(ProfilerError, match="another broker"):
            BrokerProcess(tmp_path, SETTINGS, token=TOKEN)
    finally:
        broker.stop()


def test_a_broker_ends_with_whoever_has_started_it(tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path, SETTINGS, token=TOKEN)

    try:
        broker.let_go()

        assert broker.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place_of(broker.address))
    finally:
        broker.stop()


@pytest.mark.parametrize("address", ["127.0.0.1:80", "tcp://host", "tcp://:1", "http://host:80", "tcp://host:x"])
def test_an_address_that_is_none_says_what_one_looks_like(address: str) -> None:
    with pytest.raises(UsageError, match=r"expected tcp://HOST:PORT"):
        place_of(address)


@pytest.mark.parametrize("said", [False, True], ids=["before", "after"])
def test_a_broker_whose_command_dies_while_it_starts_ends_in_silence(tmp_path: Path, said: bool) -> None:
    """The command is killed before or after it has said what is to be shared out; nobody reads the port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "profiler.fleet.broker", "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, PASSED_IN: TOKEN},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    if said:
        process.stdin.write(msgspec.json.encode(Service(folder=str(tmp_path), settings=SETTINGS)) + b"\n")
    process.stdin.close()
    with process.stderr as errors:
        assert errors.read() == b""
    assert process.wait() == 0


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the system does not show an environment")
def test_the_broker_has_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-the-run")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-of-the-run")
    broker = BrokerProcess(tmp_path, SETTINGS, token=TOKEN)
    try:
        environ = Path(f"/proc/{broker.pid}/environ").read_bytes()
    finally:
        broker.stop()
    assert b"of-the-run" not in environ.replace(TOKEN.encode(), b"")
    assert TOKEN.encode() in environ
