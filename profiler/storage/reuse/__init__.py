"""Answers of earlier runs that a new one may take over (`--reuse`): which runs are meant, where an answer stands, and its record."""
