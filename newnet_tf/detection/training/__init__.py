"""What trains a detector: augmentation, batches, matching of anchors, loss."""
