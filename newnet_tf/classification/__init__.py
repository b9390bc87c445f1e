"""Image classification: metrics, linear probe, class matching."""
