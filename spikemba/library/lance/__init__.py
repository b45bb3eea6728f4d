"""A library as a LanceDB database: in a folder or in an object store, filled by many machines at once.

In:    what a local library takes.
Out:   a table `log` of what is known, a table of rows per encoder, answers as those of a local library.
First: log.py, what lies there and why no two writers disagree; then reader.py and writer.py.
"""
