"""Requests of the Messages API, read and checked: what is accepted, and what is refused in which words."""
