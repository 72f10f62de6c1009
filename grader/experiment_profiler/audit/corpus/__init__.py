"""Submissions whose verdict is known before they are judged: cheats, honest ones and broken references.

Each is a table in a TOML file: what it tries, and how it differs from the reference.
"""
