"""HTTP beyond the framing: bodies that are compressed or are forms, pages of lists, and origins of browsers."""
