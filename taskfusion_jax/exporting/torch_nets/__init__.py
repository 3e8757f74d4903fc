"""Networks in plain PyTorch, one file each, copied beside the weights they are for."""
