"""Training: `fit` a model to batches by an objective, as a recipe says."""
