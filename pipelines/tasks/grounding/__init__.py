"""Train SpikeMba on stored features: moments of a video from a sentence.

In:    features and annotations of the splits.   Out: checkpoints, predictions, the official metrics.
First: task.py, what a step computes.
"""
