"""Files that somebody else may have made: nothing in them runs, and no size that they name is believed.

In:    a path: text, JSON, YAML, arrays, weights, archives.
Out:   text, trees, arrays and tensors; or Unreadable with the reason, which callers turn into an error of their kind.
First: unreadable.py, then the file of the form.
"""
