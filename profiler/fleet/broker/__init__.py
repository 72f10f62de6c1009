"""One broker for what the workers of a fleet share: rate limits, calls at once, pauses, the cap and the provider's health."""
