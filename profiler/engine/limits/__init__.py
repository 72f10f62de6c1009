"""What holds calls back in a live run: rate limits, pauses, adaptive concurrency and the provider's health."""
