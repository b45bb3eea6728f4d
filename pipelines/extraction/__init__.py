"""Videos and sentences to feature files.

In:    video files or folders, annotations with queries, the name of an encoder.
Out:   `<out>/<encoder>/<video>.npz`, the text's beside them, manifest.json, and a list of what could not be read.
First: extract.py.
"""
