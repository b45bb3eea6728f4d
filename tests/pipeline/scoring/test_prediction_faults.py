from dataclasses import replace

from pipelines.scoring.prediction_faults import prediction_faults
from spikemba.datasets.annotations import Annotation, PredictedRow
from spikemba.datasets.protocol import TOP5_OF_ANNOTATORS, ScoringProtocol
from spikemba.moments import Moment, Window

WINDOWS = ScoringProtocol()
TRUTH = Annotation(1, "q", "v", 10.0, (Window(2, 6),), (1, 2), ((4, 4, 4), (3, 3, 3)))


def row(*moments, query_id=1, saliency=(0.1,) * 5):
    return PredictedRow(query_id, "v", "q", tuple(Moment(*m) for m in moments), saliency)


def faults(*rows, protocol=WINDOWS, truth=(TRUTH,)):
    return prediction_faults(rows, truth, protocol)


def test_good_predictions_have_no_faults():
    assert faults(row((0, 10, 0.9), (2, 4, 0.9), (1, 2, 0.1))) == []


def test_missing_and_unknown_queries_are_counted():
    assert faults(row((0, 1, 1), query_id=2)) == [
        "1 annotated query has no prediction, as qid 1",
        "1 predicted query is not annotated, as qid 2",
    ]


def test_each_fault_of_a_row_is_named_with_what_was_seen():
    many = [(0, 1, 0.5)] * 11
    found = faults(row((3, 3, 0.1), (2, 12, 0.9), *many, saliency=(1.0, 2.0)))
    assert [part in fault for part, fault in zip(
        ["2 of 5", "[3, 3]", "[2, 12] in 10 s", "a better one stands behind", "13 windows"], found, strict=True
    )] == [True] * 5  # fmt: skip
    assert "no windows" in faults(row())[0]


def test_an_existence_that_is_no_probability_is_named():
    good = replace(row((0, 1, 1)), exist_score=1.0)
    assert faults(good) == []
    (said,) = faults(replace(good, exist_score=5.0))
    assert said.startswith("1 query has a pred_exist_score that is no probability from 0 to 1;")
    assert said.endswith("the thresholds 0.4 and 0.6 take it for one, as qid 1: 5")
    assert faults(replace(good, exist_score=-0.1))


def test_highlight_sets_are_only_asked_for_saliency():
    labelled = Annotation(1, "q", "v", 4.0, labels=((1.0,),) * 6, domain="BK")
    assert faults(row(saliency=(0.0,) * 6), protocol=TOP5_OF_ANNOTATORS, truth=[labelled]) == []
    assert "5 of 6" in faults(row((0, 900, 1)), protocol=TOP5_OF_ANNOTATORS, truth=[labelled])[0]


def test_durations_of_two_decimals_are_no_fault():
    truth = Annotation(1, "q", "v", 30.67, (Window(2, 6),))
    assert faults(row((0, 30.674, 0.9)), truth=[truth]) == []
