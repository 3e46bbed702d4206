"""From a photograph of a smear to its white cells: a box, an outline, masks and flags for each.

``segmenters`` holds the ways by name; ``found`` says what each of them gives; ``stain`` separates the dyes.
"""
