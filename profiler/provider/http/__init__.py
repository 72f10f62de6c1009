"""A small HTTP/1.1 client: connections to one address, kept open between calls."""
