"""Looking and asking in a browser, or by a language model: the calls, the page, what may be reached.

In:    folders of videos, checkpoints, and what people ask and correct.
Out:   answers while they are found, videos as a browser plays them, files to take along, corrections to train on.
First: service.py, the calls without any web; then web.py.
"""
