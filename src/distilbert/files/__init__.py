"""Where checkpoints lie, and how they are read, written and checked."""
