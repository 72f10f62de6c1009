"""Makes up what a schema or a tool asks for; the mock and the mock server use it, so both say the same."""
