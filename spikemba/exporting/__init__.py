"""Trained models for other runtimes: graphs of their own, written for ONNX or as programs of torch.export.

In:    a checkpoint, and the mini encoder where its features are mini's.
Out:   a folder of graphs and export.json, which says how frames, words and decoding fit around them.
First: folder.py, what is written; network.py, the graph of the grounder.
"""
