"""Finetuning: a linear probe on frozen features, then training of all layers."""
