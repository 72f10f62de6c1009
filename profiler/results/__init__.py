"""Finished and unfinished runs, for people: which is better, where, and by how much."""
