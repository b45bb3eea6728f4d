"""A library of videos filled and asked: every video of an archive, one order of moments.

In:    folders of videos; a sentence, a picture or a part of a video.
Out:   a library that is up to date; moments of all its videos, best first, with the copies of their files.
First: search.py, how a question is answered; index.py, how a library is filled.
"""
