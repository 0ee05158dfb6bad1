"""What `edge_runtime.Trainer` is made of: programs and their state, fitting, stages, checkpoints, export."""
