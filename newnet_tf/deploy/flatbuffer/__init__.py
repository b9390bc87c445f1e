"""Reading, checking and rewriting TFLite files."""
