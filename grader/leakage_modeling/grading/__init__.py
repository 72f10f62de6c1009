"""Plays and grades episodes, keeps them in a folder, and grades them again."""
