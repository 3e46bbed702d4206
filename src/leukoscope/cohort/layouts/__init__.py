"""Layouts of cell images on disk: C-NMC 2019, one folder a class, a table of paths."""
