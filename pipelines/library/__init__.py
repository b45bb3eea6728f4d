"""A library of videos, kept up to date with the folders that it was made of.

In:    video files or folders, the name of an encoder, a library's folder.
Out:   a library in which every video is as it is now, and what could not be read.
First: index.py.
"""
