"""A library of videos, kept up to date with the folders that it was made of, and asked.

In:    video files or folders, the name of an encoder, a library's folder; a sentence, a picture, a part of a video.
Out:   a library in which every video is as it is now; moments of all its videos in one order.
First: index.py, how it is filled; then search.py, how it is asked.
"""
