"""Runs code nobody trusts: levels of isolation, limits, and the probes that measure both."""
