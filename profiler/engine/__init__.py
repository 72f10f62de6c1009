"""All that happens at once: pool, slots, deadlines, retries, and the run from start to end."""
