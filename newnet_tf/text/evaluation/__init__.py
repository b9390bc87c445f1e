"""How good a text detector is: ICDAR's protocol, results of models, comparison of files."""
