"""Accuracy of a recogniser, on numbers one can check by hand."""

import numpy as np

from spikemba.metrics.recognition import recognition_document


def test_ranks_count_and_classes_are_weighed_alike():
    scores = np.array([[0.9, 0.1, 0, 0, 0, 0], [0.6, 0.4, 0, 0, 0, 0], [0.9, 0.1, 0, 0, 0, 0], [5, 4, 3, 2, 1, 0]])
    document = recognition_document(scores, np.array([0, 1, 0, 5]), list("abcdef"))
    # of a: 2 of 2, of b: 0 of 1, of f: 0 of 1 and last of six
    assert document["brief"] == {"top1": 50.0, "top5": 75.0, "mean_class": 33.33}
    assert document["per_class"]["b"] == {"videos": 1, "top1": 0.0, "taken_for": "a"}
    assert set(document["per_class"]) == {"a", "b", "f"}


def test_a_network_that_says_the_same_of_all_classes_is_not_right():
    document = recognition_document(np.zeros((4, 10)), np.arange(4), [str(k) for k in range(10)])
    assert document["brief"]["top1"] == document["brief"]["top5"] == 0


def test_order_of_videos_does_not_matter():
    rng = np.random.default_rng(0)
    scores, truth = rng.random((50, 7)), rng.integers(0, 7, 50)
    order = rng.permutation(50)
    labels = list("abcdefg")
    assert recognition_document(scores, truth, labels) == recognition_document(scores[order], truth[order], labels)
