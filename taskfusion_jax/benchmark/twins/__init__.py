"""The same networks and losses in PyTorch, to compare speed with; imported only when asked for."""
