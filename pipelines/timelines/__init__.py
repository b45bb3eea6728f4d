"""Moments as timelines of editing programs: markers on the source, or a rough cut of all of them.

In:    what was found in one or several videos, and the video files, whose rates and timecodes count.
Out:   one text per timeline, in a form that editors import: one module per form, all exact to the frame.
First: plan.py.
"""
