"""Evaluation: tasks, as rows of a table, their metrics, and what a model scores on them."""
