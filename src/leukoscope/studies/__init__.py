"""Where training meets judgement: a run from cells to a bundle with its predictions, and the folds of a
run."""
