"""A matrix of releases, packages, Pythons and devices: its cells are planned, run on an engine, and collected."""
