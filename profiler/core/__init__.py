"""The nouns that travel, errors, JSON, loading of people's own code, and the wording of messages."""
