"""Opens the client of a run: the one that the caller gives, the one that the manifest names, or the one for the mode.

Whichever it is, its replies pass the check of `provider.validate`.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

import anyio

from profiler.core import own_code, plugins
from profiler.core.errors import UsageError
from profiler.manifest.rules import streamed_only
from profiler.provider.mock import load_answers
from profiler.provider.validate import Checked, cancelled_by_us, uncounted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from profiler.engine.clients import Clients
    from profiler.engine.options import Options
    from profiler.manifest.settings import Experiment
    from profiler.provider.client import Client

CLOSING_S = 5.0
HOW = "it is called with the experiment and returns an object with `async def complete(request) -> Reply`"


@asynccontextmanager
async def client_of_run(
    experiment: Experiment, given: Client | None, *, clients: Clients, options: Options, tell: Callable[[str], None]
) -> AsyncIterator[Checked]:
    """The client, open. It is closed afterwards, unless others use it too, or the caller gave it and so closes it."""
    if given is not None:
        yield Checked(given, own=True, tell=tell)
    elif experiment.client is not None:
        client = make_own_client(experiment, experiment.client, search_path=options.plugins_folder)
        try:
            yield Checked(client, own=True, tell=tell)
        finally:
            with anyio.move_on_after(CLOSING_S, shield=True):  # a client that hangs must not keep the run from ending
                await _close(client)
    else:
        async with clients.of(experiment) as client:
            if options.resolved_mode == "live":
                tell(f"{experiment.experiment_id}: asking {getattr(client, 'describes', 'the provider')}")
            elif wanted := streamed_only(experiment):
                tell(f"{experiment.experiment_id}: no value for {' and '.join(wanted)}: the mock does not stream")
            yield Checked(client, tell=tell)


def make_own_client(experiment: Experiment, name: str, *, search_path: Path | None) -> Client:
    """The client that `client: module:attribute` stands for."""
    make = load_own_client(name, search_path=search_path)
    try:
        client = make(experiment)
    except BaseException as error:
        own_code.expect_fault(error)
        where = own_code.their_traceback(error)
        raise UsageError(f"client: {name!r} failed to make a client: {own_code.said(error)}\n{where}") from error
    if not callable(getattr(client, "complete", None)):
        raise UsageError(f"client: {name!r} made {client!r}, which has no complete method", hint=HOW)
    return cast("Client", client)


def load_own_client(name: str, *, search_path: Path | None) -> Callable[[Experiment], object]:
    """The function that makes the client; it is not called yet."""
    make = plugins.load(name, key="client", search_path=search_path)
    if not callable(make):
        raise UsageError(f"client: {name!r} is {make!r}, which cannot be called and so makes no client", hint=HOW)
    return make


async def try_own_client(experiment: Experiment, name: str, *, search_path: Path | None) -> None:
    """Raise what would keep a client of the user's own from being made. Nothing is asked, and it is closed at once.

    That it cannot be closed is told by the experiments that use it, and stops no others.
    """
    client = make_own_client(experiment, name, search_path=search_path)
    with anyio.move_on_after(CLOSING_S), suppress(Exception):
        await _close(client)


def check_client(experiment: Experiment, *, search_path: Path | None) -> list[str]:
    """Check before the first call what will answer: raises what would stop a run, returns warnings."""
    if experiment.client is not None:
        load_own_client(experiment.client, search_path=search_path)
    path = experiment.mock.responses_path
    if path is None:
        return []
    odd = [
        f"{path}: {name!r}: {reason}"
        for name, prepared in load_answers(path).items()
        for answer in (prepared if isinstance(prepared, list) else [prepared])
        if answer.usage is not None and (reason := uncounted(answer.usage)) is not None
    ]
    more = f", and {len(odd) - 1} more like it" if len(odd) > 1 else ""
    return [f"{odd[0]}{more}; such a usage is null in the log and its cost unknown"] if odd else []


async def _close(client: Client) -> None:
    """Close a client by `aclose` or by `close`, whichever it has."""
    close = getattr(client, "aclose", None) or getattr(client, "close", None)
    if not callable(close):
        return
    try:
        closing = close()
        if inspect.isawaitable(closing):
            await closing
    except (SystemExit, asyncio.CancelledError) as error:  # neither may end the other experiments
        if cancelled_by_us(error):
            raise
        raise RuntimeError(f"a client could not be closed: {own_code.said(error)}") from error
