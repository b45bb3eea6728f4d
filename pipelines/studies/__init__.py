"""More than one training, or a look before one: ablations, seeds and domains, curves, dry runs.

In:    a configuration and what to vary; run folders.
Out:   tables with mean, deviation and paired differences, pictures of curves, an estimate of memory and time.
First: ablations.py.
"""
