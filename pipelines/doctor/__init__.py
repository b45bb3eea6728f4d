"""What is installed and works: one small real step of everything, in processes of their own.

In:    this machine.
Out:   a line per package, encoder, neuron, scan, weight and folder, with the cure of what is broken.
First: report.py; trials.py is the table of what is tried.
"""
