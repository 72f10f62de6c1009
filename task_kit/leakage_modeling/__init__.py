"""Task B, leakage-aware modelling: its environment, tools and agent loop."""
