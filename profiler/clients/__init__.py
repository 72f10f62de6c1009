"""Interchangeable clients behind one method.

A client gets a request and gives a reply, or raises `CallError`. It decides nothing: retries,
time-outs, limits and records belong to the pool.
"""

from profiler.clients.base import Client
from profiler.clients.checked import Checked
from profiler.clients.mock import MockClient
from profiler.clients.open import Lane, open_client

__all__ = ["Checked", "Client", "Lane", "MockClient", "open_client"]
