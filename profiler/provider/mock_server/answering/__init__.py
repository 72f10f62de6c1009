"""Makes up the answer to a request: prepared texts, tool calls, JSON for a schema, or plain text, cut where the request says."""
