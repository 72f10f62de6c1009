"""A server that answers as the provider's API does, without a key and always alike: to test and load clients, and to try faults."""
