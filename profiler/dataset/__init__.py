"""From a dataset file to dialogues."""
