"""What a test may look at afterwards: the counters of `/__stats`, and the journal of what was sent."""
