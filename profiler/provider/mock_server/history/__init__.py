"""What the server remembers for whoever runs the tests: the counters, and a journal of what was sent."""
