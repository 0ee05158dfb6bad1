"""Network structure fusion: fewer, larger operators that calculate the same; a file for each kind of rewrite."""
