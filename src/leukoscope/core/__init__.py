"""The ground floor: configuration, registries, progress, provenance, files that appear whole or not at
all."""
