"""What a worker does: it answers ranges of a run, whatever it talks to its coordinator through."""
