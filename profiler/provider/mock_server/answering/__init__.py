"""What is answered: prepared answers, tool calls, JSON and text, as long as the request leaves room for."""
