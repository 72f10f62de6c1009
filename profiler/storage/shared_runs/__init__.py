"""A run that several processes or machines answer together, as it lies on disk or in an object store."""
