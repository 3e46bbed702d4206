"""Pictures that are like nothing in training, and distances that may tell so."""
