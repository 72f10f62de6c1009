"""Submissions whose right verdict is known: cheats, honest ones, mutants (the reference with one fault), and stages.

The audit grades them all to test the grader. Each is a table in a TOML file: what it tries, and how it differs from the
reference.
"""
