"""Data sets: files of examples, what kind of problem they are, and what a model reads of them."""
