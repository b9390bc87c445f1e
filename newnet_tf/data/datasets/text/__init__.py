"""Datasets of text detection: images whose words are polygons."""
