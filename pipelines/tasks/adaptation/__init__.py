"""Adapt a frozen video encoder through the grounding loss: raw videos in, no stored features.

In:    videos and annotations, a backbone.   Out: a grounding checkpoint with its adapted encoder inside.
First: model.py, encoder and network as one; task.py, what a step computes.
"""
