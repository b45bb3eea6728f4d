"""Looking and asking in a browser, or by a language model: the calls, the page, what may be reached.

In:    folders of videos, checkpoints, and what people ask and correct.
Out:   answers while they are found, videos in pieces that a browser plays, files to take along, corrections.
First: service.py, the calls without any web; then web.py.
"""
