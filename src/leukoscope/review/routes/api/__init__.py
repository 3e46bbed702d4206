"""The REST API, version 1: one file for each thing; each route parses, calls a service, and answers."""
