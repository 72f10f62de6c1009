"""HTTP as bytes: connections, requests and replies, and what headers and queries say. Nothing here knows what a message is."""
