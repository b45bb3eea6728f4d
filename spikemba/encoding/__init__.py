"""Video files through encoders. In come paths and the names of encoders, out go features with what made them.

`videos.py` comes first: one decode for all encoders. `encoders_here.py` loads them as this user has set them up,
`manifests.py` says how their features were made. Nothing here writes a file.
"""
