"""The run directory: journal and ledger while a run goes on, ordered logs and summary when it is complete."""
