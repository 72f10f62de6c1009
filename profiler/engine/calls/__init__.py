"""From one item to its record: what it asks and costs, how often it is tried, and who works on many at once."""
