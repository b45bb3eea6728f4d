"""Videos named by a trained recogniser, and pictures of where it looked.

In:    video files, a video checkpoint.
Out:   classes with probabilities; a strip of frames with a heat map.
First: recognize.py.
"""
