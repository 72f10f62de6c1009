"""Measures what the engine costs. Run it with `make bench`; `benchmarks/__main__.py` says more."""
