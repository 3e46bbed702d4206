"""Many cells and whose they are: manifests, layouts, splits, checks, the audit, a synthetic cohort."""
