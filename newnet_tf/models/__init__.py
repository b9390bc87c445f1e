"""Model definitions: cards, registry, shared layers and stages."""
