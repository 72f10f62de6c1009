"""A run whose parts are started by somebody else, such as the jobs of an array, and the merge that ends it."""
