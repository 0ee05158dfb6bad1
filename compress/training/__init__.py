"""Training between steps, on plain ONNX graphs: what a step took from the accuracy, it gives back."""
