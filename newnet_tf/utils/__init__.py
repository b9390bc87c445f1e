"""Helpers without a domain: files, progress, lazy imports, tables, softmax."""
