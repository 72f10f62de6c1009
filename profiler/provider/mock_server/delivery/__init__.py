"""How an answer reaches its asker: when, in which pieces, whole or broken."""
