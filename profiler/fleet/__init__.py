"""One run by many processes or machines: it is cut into ranges, which are handed out, answered, committed and merged."""
