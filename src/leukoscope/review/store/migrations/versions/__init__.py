"""One file a step; the first makes all tables."""
