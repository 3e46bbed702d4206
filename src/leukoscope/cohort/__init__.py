"""Many cells and whose they are: manifests, layouts, splits, the check of a copy, the audit, a synthetic cohort."""
