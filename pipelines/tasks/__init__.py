"""What can be trained: grounding, recognition, adaptation. A kind is a folder here, with equal file names in each.

In:    a configuration, whose `task:` names the kind.
Out:   its Task for the loop (task.py) and the evaluation of what was trained (evaluate.py).
First: train.py; registry.py, how a kind is found.
"""
