"""What the server remembers of earlier requests: the prompt cache, its diagnosis, and held conversations."""
