"""One module for each source framework, the only one that imports it."""
