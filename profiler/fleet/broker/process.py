"""Starts a broker in a process of its own, so that it survives whoever coordinates, and can be replaced when it dies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from profiler.core.errors import ProfilerError, UsageError
from profiler.fleet.broker.messages import Gone
from profiler.fleet.broker.settings import Service
from profiler.fleet.broker.wire import Channel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from profiler.fleet.broker.settings import BrokerSettings

TOKEN = "PROFILER_BROKER_TOKEN"  # noqa: S105 (the name of a variable)
END_WITHIN_S = 5
SECRET = re.compile("KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)  # in the name of a variable


class BrokerProcess:
    def __init__(self, folder: Path, settings: BrokerSettings, *, token: str) -> None:
        self._service: Service | None = Service(folder=str(folder), settings=settings)
        self._token = token
        self._port = 0
        self._process = self._start()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def let_go(self) -> None:
        """Close its stdin, as happens by itself when this process dies: it ends then."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def wait(self) -> int:
        return self._process.wait(END_WITHIN_S)

    def restart(self) -> None:
        """Replace one that has ended. It has the same address, and knows what was lent."""
        self.stop()
        if (service := self._service) is not None:
            settings = msgspec.structs.replace(service.settings, replaces=True)
            self._service = msgspec.structs.replace(service, settings=settings)
        self._process = self._start()

    def serve(self, folder: Path, settings: BrokerSettings) -> None:
        """From now on serve another run; its workers find what was learned of the same provider."""
        self._service = Service(folder=str(folder), settings=settings)
        if self.poll() is None:
            try:
                self._say(self._process)
            except ProfilerError:
                if self.poll() is None:
                    raise
            else:
                return
        self.stop()
        self._process = self._start()

    def rest(self) -> None:
        """Serve nobody, until it is told whom. One that has died meanwhile is replaced then."""
        self._service = None
        if self.poll() is not None:  # its pipes may be closed by now
            return
        with suppress(ProfilerError):
            self._say(self._process)

    def stop(self) -> None:
        process = self._process
        process.terminate()
        try:
            process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _close(process)

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "profiler.fleet.broker", str(self._port)]
        process = subprocess.Popen(  # noqa: S603 (our own module)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**_without_secrets(os.environ), TOKEN: self._token},
            start_new_session=True,  # Ctrl-C is for whoever coordinates
        )
        self._say(process)
        return process

    def _say(self, process: subprocess.Popen[bytes]) -> None:
        """Tell it whom to serve. It answers with its port."""
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise AssertionError("both were asked for")
        with suppress(BrokenPipeError):  # it has died already, and says nothing
            stdin.write(msgspec.json.encode(self._service) + b"\n")
            stdin.flush()
        said = stdout.readline()
        if not said.strip().isdigit():
            process.wait()
            _close(process)
            raise ProfilerError(
                f"the broker did not start: {said.decode(errors='replace').strip() or 'it said nothing'}"
            )
        self._port = int(said)


def _without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """A broker asks no provider, so it needs nobody's keys."""
    return {name: value for name, value in environ.items() if not SECRET.search(name)}


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):  # of what it has not read
                pipe.close()


async def tell_gone(address: str, who: str, *, token: str) -> bool:
    """Tell the broker that a worker has ended for certain. False when it cannot be told; it finds out by itself then."""
    with suppress(UsageError):  # another broker listens there now
        async with Channel(address, token=token) as channel:
            return await channel.ask(Gone(who=who)) is not None
    return False
