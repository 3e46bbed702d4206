"""Photographs of smears: what is found in them, and what a model says of it."""
