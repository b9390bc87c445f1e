"""Synthetic scene text: words with the quadrilateral of every character, drawn over images."""
