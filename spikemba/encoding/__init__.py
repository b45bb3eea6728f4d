"""Video files through encoders: one decode for all of them.

In:    video files, the names of encoders as this user has set them up.
Out:   a row of features per clip, and the manifest that says what made them. Nothing here writes a file.
First: videos.py.
"""
