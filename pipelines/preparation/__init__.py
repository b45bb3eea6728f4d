"""Official files, tables and folders of videos to annotations that training reads; the synthetic corpora.

In:    what a benchmark publishes, a CSV of one's own, a folder of labelled videos, or a seed.
Out:   checked annotations in the field's form, videos of the synthetic corpora, and the YAML that names them all.
First: prepare.py; prepare_benchmark.py for the five benchmarks.
"""
