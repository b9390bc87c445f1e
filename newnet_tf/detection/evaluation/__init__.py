"""How good a detector is: average precision, results of models, comparison of files."""
