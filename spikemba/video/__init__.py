"""Reading and writing video, bit for bit; the only place that knows PyAV.

In:    a file, and a rule which frames are wanted.
Out:   frames with their times, clips of them, new files.
First: sampling.py; cuts.py for parts of a video as files, pieces.py for what a browser plays. All take their times from
       clock.py.
"""
