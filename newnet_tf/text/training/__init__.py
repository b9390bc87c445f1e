"""What trains a text detector: score maps from words, augmentation, batches, loss."""
