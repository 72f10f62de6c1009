"""What holds calls back: rate limits, cool-downs, adaptive concurrency, the provider's health."""
