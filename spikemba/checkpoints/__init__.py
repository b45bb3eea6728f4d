"""Trained grounding models as folders: saved, loaded, shared.

In:    a bundled name, a run or checkpoint folder, a name on the hub.
Out:   the network with its features and its way to moments; a folder with README.md to publish.
First: grounding.py.
"""
