"""The terminal: each command parses, calls one function of a pipeline, and prints what it returns."""
