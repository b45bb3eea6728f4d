"""Run folders: configurations, what a training wrote, who holds the folder, what runs there are.

In:    YAML files and `--set` settings; the rows, states and checkpoints of a training.
Out:   run folders that are written whole, their configurations, tables of runs.
First: run_dir.py, one run; config.py, the settings that every training has.
"""
