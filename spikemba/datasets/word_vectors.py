"""Queries as word vectors: GloVe's text files, as the VGG features of Charades-STA are used with."""

# Shapes: W words of a query, F numbers per word.

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import FeaturesMismatch, FeaturesMissing
from spikemba.features import Array, Manifest


class WordVectors:
    """A file of `word number number ...` lines; held whole, half a gigabyte for 400,000 words of 300 numbers."""

    def __init__(self, path: Path) -> None:
        """Raises FeaturesMissing when there is no such file, FeaturesMismatch when a line is not like the first."""
        self.path = path
        if not path.is_file():
            raise FeaturesMissing("any word", path)
        digest, vectors = hashlib.sha256(), list[NDArray[np.float32]]()
        self._rows: dict[str, int] = {}
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                digest.update(line)
                word, _, numbers = line.decode("utf-8", "replace").partition(" ")
                vector = np.fromstring(numbers, dtype=np.float32, sep=" ")
                if not len(vector) or len(vector) != (len(vectors[0]) if vectors else len(vector)):
                    expected = f"a word and {len(vectors[0])} numbers" if vectors else "a word and numbers"
                    raise FeaturesMismatch(f"{path}: line {number} is not {expected}; expected a file such as GloVe's")
                self._rows[word] = len(vectors)
                vectors.append(vector)
        if not vectors:
            raise FeaturesMismatch(f"{path} is empty; expected a file of word vectors such as GloVe's")
        self._table = np.stack(vectors)
        if (wrong := np.flatnonzero(~np.isfinite(self._table).all(1))).size:
            raise FeaturesMismatch(f"{path}: line {wrong[0] + 1} holds a number that is not finite")
        self.manifest = Manifest(
            encoder=path.stem, kind="text", dim=self._table.shape[1], weights=digest.hexdigest(), dtype="float32"
        )

    def of(self, query: str) -> Array:
        """(W, F): the vector of each word of the query in lower case, zeros for words that the file does not have.

        Words are what stands between spaces, punctuation included, as in UMT and CG-DETR.
        """
        rows = np.zeros((max(1, len(query.split())), self._table.shape[1]), np.float32)
        for i, word in enumerate(query.lower().split()):
            if word in self._rows:
                rows[i] = self._table[self._rows[word]]
        return rows
