"""Annotations, features and labels as the pairs that training sees.

In:    files of the field, or a seed for the synthetic corpora.
Out:   examples and batches of tensors with their targets.
First: base.py; benchmarks/, what each benchmark publishes; labelled/, videos with classes; synthetic/.
"""
