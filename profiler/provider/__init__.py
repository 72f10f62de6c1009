"""One request to one reply: request bytes, clients, and what a reply or a refusal means."""
