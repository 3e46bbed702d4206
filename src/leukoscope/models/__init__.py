"""Architectures: what turns preprocessed cells into logits, an embedding and, where the head allows, a class
map."""
