"""What a task adds to a frozen vision transformer: one small file per kind."""
