"""Grades what is known to be good, bad or broken, and compares."""
