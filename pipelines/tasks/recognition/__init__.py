"""Train VideoMamba, whole or adapted, to tell which of some classes a video shows.

In:    labelled videos.   Out: video checkpoints, probabilities, accuracies.
First: task.py, what a step computes.
"""
