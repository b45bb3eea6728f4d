"""The loop that optimises any task: epochs, processes, states to resume from. It knows no model and no data.

In:    a Task (task.py says what that is) and its settings.
Out:   a run folder with checkpoints, a row per epoch, and the state to go on from.
First: loop.py.
"""
