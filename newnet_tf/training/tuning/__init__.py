"""Hyper-parameter search over a recipe."""
