"""A report: one or several runs as one HTML file that needs no network and no server."""
