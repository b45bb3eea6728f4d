"""Benchmarks: annotation files, feature files, and the pairs that training sees."""
