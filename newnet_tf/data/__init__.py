"""Images, preprocessing and labels. Importing this package loads nothing; ask for its modules."""
