"""Labeled images from folders, archives and tensorflow-datasets."""
