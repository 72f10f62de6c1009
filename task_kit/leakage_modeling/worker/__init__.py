"""The process that runs an agent's code, from outside and from inside."""
