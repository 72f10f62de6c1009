"""What all other packages use: the nouns of a run, errors, JSON, loading of users' own code, and words for messages."""
