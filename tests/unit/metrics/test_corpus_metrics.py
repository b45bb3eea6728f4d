"""R@k over a corpus and NDCG: closed forms, the sources' loops written out, and what must not matter."""

from math import inf, log2, nan

import numpy as np
import pytest

from spikemba.metrics import NothingToScore, NotNumbers, retrieval_metrics
from spikemba.metrics.corpus import (
    METRICS,
    CorpusAnswers,
    CorpusMoment,
    TrueMoment,
    corpus_document,
    corpus_samples,
    found_grades,
    ndcg,
    null_scores,
    overlaps,
)

TRUE = TrueMoment("a", 10, 20)
RIGHT = CorpusMoment("a", 10, 20, 0.9)
WRONG = CorpusMoment("b", 10, 20, 0.9)


def answers(moments, truth, existence=None):
    """Of lists by query; existence: as a file without existence scores has it."""
    own = {i: max((one.score for one in of), default=-inf) for i, of in moments.items()}
    return CorpusAnswers(moments, truth, existence or own)


def scores(moments, truth):
    return {name: value.item() for name, value in corpus_samples(answers({1: moments}, {1: truth})).items()}


def test_the_right_answer_first_is_all_there_is():
    assert scores([RIGHT], [TRUE]) == dict.fromkeys(METRICS, 1.0)


def test_no_answer_is_nothing():
    assert scores([], [TRUE]) == dict.fromkeys(METRICS, 0.0)


@pytest.mark.parametrize(("rank", "found_at"), [(1, (1, 5, 10, 100)), (2, (5, 10, 100)), (10, (10, 100)), (11, (100,))])
def test_an_answer_counts_from_its_rank_on(rank, found_at):
    found = scores([WRONG] * (rank - 1) + [RIGHT], [TRUE])
    assert [k for k in (1, 5, 10, 100) if found[f"VCMR-R{k}@0.5"]] == list(found_at)
    assert found["NDCG20@0.5"] == 1 / log2(rank + 1)


def test_the_hundred_and_first_answer_is_not_read():
    assert scores([WRONG] * 99 + [RIGHT], [TRUE])["VCMR-R100@0.7"] == 1
    assert scores([WRONG] * 100 + [RIGHT], [TRUE])["VCMR-R100@0.7"] == 0


def test_an_overlap_on_the_limit_counts_and_the_same_window_of_another_video_does_not():
    half, wider = CorpusMoment("a", 10, 15, 1), CorpusMoment("a", 13, 20, 1)  # IoU 0.5 and 0.7
    assert scores([half], [TRUE])["VCMR-R1@0.5"] == 1
    assert scores([half], [TRUE])["VCMR-R1@0.7"] == 0
    assert scores([wider], [TRUE])["VCMR-R1@0.7"] == 1
    assert scores([WRONG], [TRUE])["VCMR-R100@0.5"] == 0


def test_the_order_of_the_list_counts_and_no_score():
    low, high = CorpusMoment("a", 10, 20, -5), CorpusMoment("b", 0, 5, 5)
    assert scores([low, high], [TRUE])["VCMR-R1@0.5"] == 1
    assert scores([high, low], [TRUE])["VCMR-R1@0.5"] == 0


def test_videos_are_ranked_as_they_first_appear_whatever_their_windows():
    far = CorpusMoment("a", 500, 600, 0.1)
    found = scores([WRONG] * 7 + [far], [TRUE])
    assert (found["VR-R1"], found["VR-R5"]) == (0, 1)
    assert found["VCMR-R100@0.5"] == 0


def test_overlap_is_the_intersection_by_the_hull():
    truth = [TrueMoment("a", 0, 10), TrueMoment("a", 20, 30), TrueMoment("b", 0, 10), TrueMoment("a", 7, 7)]
    moments = [CorpusMoment("a", 5, 15, 1), CorpusMoment("a", 7, 7, 1)]
    expected = [[5 / 15, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(overlaps(moments, truth), expected)


def test_graded_gain_of_the_wrong_order():
    assert ndcg([1, 3], [3, 1], 10) == pytest.approx((1 + 7 / log2(3)) / (7 + 1 / log2(3)))
    assert ndcg([3, 1], [1, 3], 10) == 1
    assert ndcg([0, 0], [1, 3], 10) == 0


def test_the_best_order_is_cut_where_the_list_is():
    truth = [TrueMoment("a", 10 * i, 10 * i + 5) for i in range(30)]
    found = scores([CorpusMoment(*one[:3], 1) for one in truth[:10]], truth)
    whole, part = (sum(1 / log2(i + 2) for i in range(n)) for n in (20, 10))
    assert found["NDCG10@0.7"] == pytest.approx(1)
    assert found["NDCG20@0.7"] == pytest.approx(part / whole)


def test_a_true_moment_is_found_once():
    other = TrueMoment("c", 0, 4)
    found = scores([RIGHT, RIGHT, CorpusMoment("c", 0, 4, 1)], [TRUE, other])
    assert found["NDCG10@0.5"] == pytest.approx((1 + 1 / log2(4)) / (1 + 1 / log2(3)))


def test_of_equal_overlaps_the_higher_grade_is_found():
    overlap = np.array([[0.6, 0.6], [0.6, 0.6], [0.6, 0.6]])
    for grades in ([1.0, 4.0], [4.0, 1.0]):
        assert found_grades(overlap, np.array(grades), 0.5).tolist() == [4, 1, 0]


def written_out(moments, truth, limit):
    """The loop of TVR-Ranking in plain lists: the grades that the answers find."""
    left = sorted(truth, key=lambda one: -one.grade)
    gained = []
    for moment in moments:
        best, best_iou = None, -1.0
        for one in left:
            inside = min(moment.end_s, one.end_s) - max(moment.start_s, one.start_s)
            hull = max(moment.end_s, one.end_s) - min(moment.start_s, one.start_s)
            iou = max(0, inside) / hull
            if one.video_id == moment.video_id and iou > best_iou:
                best, best_iou = one, iou
        if best is not None and best_iou >= limit:
            left.remove(best)
        gained.append(best.grade if best is not None and best_iou >= limit else 0.0)
    return gained


@pytest.mark.parametrize("seed", range(20))
def test_drawn_lists_are_scored_as_the_loops_of_the_sources_do(seed):
    rng = np.random.default_rng(seed)

    def window():
        start = int(rng.integers(0, 20))
        return "abc"[rng.integers(3)], float(start), float(start + rng.integers(1, 12))

    moments = [CorpusMoment(*window(), 0.5) for _ in range(25)]
    truth = [TrueMoment(*window(), float(rng.integers(1, 5))) for _ in range(rng.integers(1, 9))]
    found = scores(moments, truth)
    for limit in (0.3, 0.5, 0.7):
        for k in (10, 20):
            expected = ndcg(written_out(moments, truth, limit), [one.grade for one in truth], k)
            assert found[f"NDCG{k}@{limit}"] == pytest.approx(expected, abs=1e-12)
    for limit in (0.5, 0.7):
        for k in (1, 5, 10, 100):
            hit = any(written_out([one], truth, limit)[0] for one in moments[:k])
            assert found[f"VCMR-R{k}@{limit}"] == hit


def test_one_video_per_query_is_moment_retrieval():
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 20, (50, 2))
    windows = np.stack([starts, starts + rng.integers(4, 9, (50, 2))], 2).astype(float)  # (query, answer or truth, 2)
    moments = {i: [CorpusMoment(f"v{i}", *of[0], 1)] for i, of in enumerate(windows)}
    truth = {i: [TrueMoment(f"v{i}", *of[1])] for i, of in enumerate(windows)}
    found = corpus_document(answers(moments, truth))["VCMR"]
    single = retrieval_metrics(
        {i: np.array([[*of[0], 1]]) for i, of in enumerate(windows)}, {i: of[1:] for i, of in enumerate(windows)}
    )["full"]["MR-R1"]
    assert (found["0.5-r1"], found["0.7-r1"]) == (single["0.5"], single["0.7"])


def test_the_document_has_the_means_in_percent_under_the_sources_keys():
    document = corpus_document(answers({1: [RIGHT], 2: [WRONG, RIGHT], 3: []}, {i: [TRUE] for i in (1, 2, 3)}))
    assert document["VCMR"]["0.5-r1"] == document["brief"]["VCMR-R1@0.5"] == 33.33
    assert document["VR"] == {"r1": 33.33, "r5": 66.67, "r10": 66.67, "r100": 66.67}
    assert document["NDCG"]["10"]["0.3"] == round(100 * (1 + 1 / log2(3)) / 3, 2)
    assert "NDCG10@0.3" not in document["brief"]
    assert "null" not in document
    assert document["stats"] == {
        "n_queries": 3, "n_scored": 3, "n_null": 0, "n_unanswered": 1,
        "true_moments_per_query": 1, "true_videos_per_query": 1,
    }  # fmt: skip


def test_a_query_that_nothing_fits_is_left_out_and_counted_apart():
    alone = corpus_document(answers({1: [RIGHT]}, {1: [TRUE]}))
    sure, unsure = CorpusMoment("b", 0, 1, 0.95), CorpusMoment("b", 0, 1, 0.2)
    moments = {1: [RIGHT], 2: [sure], 3: [unsure], 4: []}
    document = corpus_document(answers(moments, {1: [TRUE], 2: [], 3: [], 4: []}))
    for part in ("VCMR", "VR", "NDCG"):
        assert document[part] == alone[part]
    null = document["null"]
    assert (null["n_queries"], null["AUROC"]) == (3, 66.67)
    assert null["per_threshold"]["empty"]["Rej-R"] == 33.33
    assert null["per_threshold"]["0.4"]["Rej-R"] == 66.67
    assert (document["stats"]["n_null"], document["stats"]["n_unanswered"]) == (3, 0)
    assert document["brief"]["Rej-R@0.6"] == 66.67


def test_scores_that_are_no_probabilities_have_no_threshold():
    moments = {1: [RIGHT], 2: [CorpusMoment("b", 0, 1, -3)]}
    found = null_scores(answers(moments, {1: [TRUE], 2: []}))
    assert (found["AUROC"], list(found["per_threshold"])) == (100, [])


def test_an_existence_score_of_its_own_decides():
    found = null_scores(answers({1: [RIGHT], 2: [WRONG]}, {1: [TRUE], 2: []}, {1: 0.2, 2: 0.8}))
    assert found["AUROC"] == 0


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(NothingToScore, match="none of 1 queries has a true moment in any video"):
        corpus_document(answers({1: [RIGHT]}, {1: []}))
    with pytest.raises(NotNumbers, match="predicted moments of 7 holds NaN"):
        corpus_samples(answers({7: [CorpusMoment("a", 0, 1, nan)]}, {7: [TRUE]}))
    with pytest.raises(NotNumbers, match="existence score of 2"):
        null_scores(answers({1: [RIGHT], 2: []}, {1: [TRUE], 2: []}, {1: 1.0, 2: nan}))
    with pytest.raises(ValueError, match="1 queries have no answers, the first is 2"):
        corpus_samples(CorpusAnswers({1: [RIGHT]}, {1: [TRUE], 2: [TRUE]}, {1: 1.0}))
