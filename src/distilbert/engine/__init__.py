"""Inference: packed rows, and nothing computed that the answer does not need."""
