"""A deterministic server that speaks the provider's API: for live mode without a key, load tests and faults."""

from profiler.server.plan import ServerSettings
from profiler.server.serving import MockServer, serve

__all__ = ["MockServer", "ServerSettings", "serve"]
