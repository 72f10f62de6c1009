"""The worker: the boxed process that runs an agent's code, seen from outside and from inside."""
