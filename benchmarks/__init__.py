"""What the engine costs, measured. Run it with `make bench`, or see `benchmarks/__main__.py`."""
