"""What is learnt: corruptions, targets and losses of each task."""
