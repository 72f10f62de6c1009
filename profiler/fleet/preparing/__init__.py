"""All that is done once, before the first worker begins."""
