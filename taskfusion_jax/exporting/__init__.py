"""A trained network for others: PyTorch, ONNX, StableHLO, a web page."""
