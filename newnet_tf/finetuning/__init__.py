"""Finetuning on classes of one's own: frozen features, then the whole network. Loads nothing."""
