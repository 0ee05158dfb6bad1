"""One module for each engine, the only one that imports it."""
