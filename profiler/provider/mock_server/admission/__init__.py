"""What stands between a request and its answer: limits that refuse it, and faults that it meets."""
