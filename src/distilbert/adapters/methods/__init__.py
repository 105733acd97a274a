"""What hangs in the slots: one file per kind of method."""
