"""Fitting a network: the cache of cells, augmentation on the device, the Lightning module, the fit itself."""
