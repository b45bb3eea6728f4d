"""A library of videos: the features of a whole archive on disk, added to, scanned and read back without decoding.

In:    videos with the rows that encoders made of them; a vector to compare every clip with.
Out:   LIBRARY/library.sqlite (what is there), a matrix of float16 rows per encoder, hits, features as encoded.
First: reader.py, what can be asked; then writer.py, what can be changed; schema.py says what lies on disk, forms.py
       which form a library has; lance/ is the other one, beyond one machine.
"""

from spikemba.library.forms import open_library
from spikemba.library.reader import ClipHit, Library, VideoHit
from spikemba.library.rows import StoredEncoder, StoredVideo

__all__ = ["ClipHit", "Library", "StoredEncoder", "StoredVideo", "VideoHit", "open_library"]
