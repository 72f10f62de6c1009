"""Grades what is known to be good, bad or broken, to test the grader itself."""
