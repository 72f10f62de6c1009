"""A deterministic server that speaks the provider's API: for live mode without a key, load tests and faults."""
