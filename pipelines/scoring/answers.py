"""What was answered, from a file of predictions in any form, beside the annotations that it is scored against."""

from collections.abc import Sequence
from pathlib import Path

from spikemba.datasets.annotations import Annotation
from spikemba.datasets.predictions.predictions import Predictions


def read_answers(path: Path, truth: Sequence[Annotation]) -> Predictions:
    """The predictions of a file, with the ids of the annotations where its form has none.

    Raises AnnotationError that names every row that cannot be used, or that no annotation fits, or says that rows are
    about other sentences or videos than the annotations of their ids.
    """
    found = Predictions.from_file(path)
    # a file with ids is scored as it stands, but matched, too: that raises where its ids are those of another table
    matched = found.matched(truth)
    return matched if found.numbered else found
