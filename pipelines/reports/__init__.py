"""Pages that people open in a browser.

In:    answers, annotations, metrics.
Out:   a folder with index.html and its pictures.
First: report.py.
"""
