"""Grades one submission or many, stores results, and grades them again."""
