"""Two or more runs over the same dialogues: which is better, by how much, and whether that is more than chance."""
