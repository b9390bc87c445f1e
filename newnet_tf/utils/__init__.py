"""Small helpers without a domain: lazy imports, files, tables."""
