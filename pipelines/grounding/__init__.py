"""Many videos and sentences asked, answers written in the forms of other programs.

In:    a Grounder, videos, sentences or a file of them.
Out:   tables, JSON, subtitles, timelines, chapters, cuts and pictures, one file per video where the form wants it.
First: answer_files.py.
"""
