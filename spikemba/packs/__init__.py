"""Feature packs in whatever form they are in circulation: found by looking, read as rows per clip and states per token.

In:    a folder of .npz, .npy or .pt files, or one .h5 or .npz whose keys are identifiers; behind a colon, a key.
Out:   (L, F) rows of a video, (W, F) token states of a query; what is in the way is a FeaturesMismatch.
First: pack.py, then opening.py for the forms, one file each.
"""
