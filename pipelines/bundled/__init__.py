"""What comes with the package is made here: the mini encoder, the SpikeMba checkpoint on it, the example video.

In:    a seed.
Out:   spikemba/weights/ and examples/shapes.mp4.
First: make_weights.py, which `make weights` runs.
"""
