"""NPUs and other accelerators: which there are, what they really run, and the way back to the CPU."""
