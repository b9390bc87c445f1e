"""Evaluation of a model on a dataset, with confidence intervals."""
