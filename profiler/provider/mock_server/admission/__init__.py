"""What may refuse or spoil a request before it is answered: rate limits, and faults by chance or by script."""
