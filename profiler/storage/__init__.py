"""The run directory: journal, ordered logs, resume, identity, ledger, summary file."""
