"""What loads a fleet's control plane: simulated devices, many to a process."""
