"""Runs manifests of experiments over dialogues and reduces the answers to honest metrics."""

__version__ = "0.1.0"
