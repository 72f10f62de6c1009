"""Writes the journal and the ordered logs of a run, and takes up where an earlier process stopped."""
