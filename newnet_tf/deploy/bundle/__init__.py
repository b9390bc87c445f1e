"""Bundles: all that an app needs of a model in one folder or zip."""
