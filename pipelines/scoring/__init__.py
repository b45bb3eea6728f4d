"""Predictions against annotations, as each benchmark scores them. Needs no torch.

In:    rows of predictions and annotations, or their files.
Out:   the official metrics, intervals, comparisons of two files, tables beside published numbers, faults of a file.
First: scores.py, from rows to metrics; evaluate_files.py, from files.
"""
