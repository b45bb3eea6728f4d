"""From predictions per clip to moments, and long videos in chunks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spikemba.batch import Prediction
from spikemba.errors import ConfigError
from spikemba.grounding import GroundingConfig, Question, _rounded, answer_questions, chunk_limits
from spikemba.model import SpikeMba, SpikeMbaConfig


class Oracle(torch.nn.Module):
    """Stands for a model: every clip of value v > 0 is foreground v and points to its neighbours' borders.

    Its saliency is v too, or the clip's second value if it has one; its neuron fires at about v of four steps. Where
    quality is asked for, it is 1 - v.
    """

    def __init__(self, proposals=None, quality=False):
        super().__init__()
        self.config = SpikeMbaConfig.parse({"proposals": proposals or {}, "heads": {"quality": quality}})
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def forward(self, batch):
        value = batch.video[..., 0]
        n_clips = batch.video_mask.sum(1, keepdim=True)
        self.seen.append(n_clips.flatten().tolist())
        index = torch.arange(value.shape[1]).expand_as(value)
        begin, end = index / n_clips, (index + 1) / n_clips
        logit, saliency = torch.logit(batch.video[..., [0, -1]].clamp(1e-4, 1 - 1e-4)).unbind(-1)
        spikes = (value[..., None] > torch.arange(0.125, 1, 0.25)).float()
        none = torch.zeros(*value.shape, 1)
        boundaries = torch.stack((begin, end), -1).clamp(0, 1)
        quality = -logit if self.config.heads.quality else None
        return Prediction(logit, boundaries, saliency, spikes, logit, none, none[:, 0], (), quality)


def ask(values, duration_s=None, proposals=None, **settings):
    """values: one per clip, or rows of foreground and saliency."""
    video = np.asarray(values, np.float32).reshape(len(values), -1)
    question = Question(video, np.zeros((2, 3), np.float32), duration_s or 2.0 * len(values))
    model, how = Oracle(proposals), {"score": "foreground", "max_iou": 0.7, **settings}
    (answer,) = answer_questions(model, [question], 2.0, GroundingConfig(**how))
    return answer, model


def test_windows_are_in_seconds_best_first():
    answer, _ = ask([0.1, 0.9, 0.2, 0.6])
    assert [(m.start_s, m.end_s) for m in answer.moments[:2]] == [(2, 4), (6, 8)]
    assert [round(m.score, 3) for m in answer.moments] == [0.9, 0.6, 0.2, 0.1]
    np.testing.assert_allclose(answer.saliency, [0.1, 0.9, 0.2, 0.6], rtol=1e-5)


@pytest.mark.parametrize(
    ("score", "expected"),
    [("foreground", [0.9, 0.55, 0.2]), ("saliency", [0.8, 0.55, 0.3]), ("both", [0.6, 0.55, 0.5])],
)
def test_windows_are_ranked_by_foreground_or_saliency_or_their_mean(score, expected):
    clips = [[0.9, 0.3], [0.55, 0.55], [0.2, 0.8]]  # by their product, the second one would be first
    answer, _ = ask(clips, score=score)
    assert [m.score for m in answer.moments] == pytest.approx(expected)
    order = [4, 2, 0] if score == "saliency" else [0, 2, 4]
    assert [m.start_s for m in answer.moments] == pytest.approx(order)
    np.testing.assert_allclose(answer.foreground, [0.9, 0.55, 0.2], rtol=1e-5)
    np.testing.assert_allclose(answer.saliency, [0.3, 0.55, 0.8], rtol=1e-5)


class Wide(Oracle):
    """Points from 1.3 clips before each clip's begin to 0.4 behind its end, cut nowhere."""

    def forward(self, batch):
        found, n_clips = super().forward(batch), batch.video_mask.sum(1)[:, None]
        begin = (torch.arange(batch.video.shape[1]) - 1.3) / n_clips
        return replace(found, boundaries=torch.stack((begin, begin + 2.7 / n_clips), -1))


@pytest.mark.parametrize("chunk_clips", [None, 8])
def test_inside_is_saliency_times_its_mean_over_the_window(chunk_clips):
    values = np.random.default_rng(0).uniform(0.05, 0.95, (21, 1)).astype(np.float32)
    config = GroundingConfig(score="inside", n_moments=100, max_iou=1.0, chunk_clips=chunk_clips)
    (answer,) = answer_questions(Wide(), [Question(values, np.zeros((2, 3), np.float32), 42.0)], 2.0, config)
    fine = np.repeat(values[:, 0], 10)  # tenths of clips
    expected = [
        values[i, 0] * fine[max(0, 10 * i - 13) : min(210, 10 * i + 14)].mean(dtype=np.float64) for i in range(21)
    ]
    assert [m.score for m in answer.moments] == pytest.approx(sorted(expected, reverse=True), rel=1e-4)
    best = int(np.argmax(expected))
    found = answer.moments[0]
    assert (found.start_s, found.end_s) == pytest.approx((max(0, 2 * best - 2.6), min(42, 2 * best + 2.8)), abs=1e-4)


@pytest.mark.parametrize("chunk_clips", [None, 3])
def test_quality_ranks_by_saliency_times_how_well_the_window_is_told_to_fit(chunk_clips):
    clips = np.asarray([[0.9, 0.8], [0.4, 0.5], [0.2, 0.9], [0.7, 0.1], [0.5, 0.2]], np.float32)
    question = Question(clips, np.zeros((2, 3), np.float32), 10.0)
    config = GroundingConfig(score="quality", chunk_clips=chunk_clips)
    (answer,) = answer_questions(Oracle(quality=True), [question], 2.0, config)
    expected = (1 - clips[:, 0]) * clips[:, 1]
    assert [m.score for m in answer.moments] == pytest.approx(sorted(expected.tolist(), reverse=True), rel=1e-4)
    assert answer.moments[0].start_s == pytest.approx(4)


def test_a_quality_that_no_head_tells_is_refused():
    with pytest.raises(ConfigError, match="score: 'quality' is told by a head that this model has not"):
        ask([0.1, 0.9], score="quality")


def test_moments_end_with_the_video_and_none_is_empty():
    answer, _ = ask([0.9, 0.8, 0.7], duration_s=3.5)
    np.testing.assert_allclose([m[:2] for m in answer.moments], [(0, 2), (2, 3.5)], atol=1e-6)
    assert len(answer.saliency) == 3


def test_moments_end_with_the_video_or_where_it_is_asked_for():
    assert max(moment.end_s for moment in ask([0.9, 0.8, 0.7], duration_s=5)[0].moments) == 5
    clamped, _ = ask([0.9, 0.8, 0.7], duration_s=5, clamp_s=5.5, round_to_s=1)
    assert max(moment.end_s for moment in clamped.moments) == 5.5


def test_ends_are_rounded_where_it_is_asked_for():
    answer, _ = ask([0.9, 0.8, 0.7], duration_s=6, round_to_s=4)
    assert [(m.start_s, m.end_s) for m in answer.moments] == [(0, 4), (4, 6)]


def test_at_most_n_moments_are_kept():
    answer, _ = ask([0.5] * 30, n_moments=10)
    assert len(answer.moments) == 10


def test_runs_of_proposed_clips_are_the_proposal_set():
    answer, _ = ask([0.1, 0.9, 0.8, 0.2, 0.7, 0.1, 0.1, 0.6])
    assert [(p.start_s, p.end_s) for p in answer.proposals] == [(2, 10), (14, 16)]  # one silent clip is bridged
    assert answer.spikes.shape == (8, 4)
    with_runs, _ = ask([0.1, 0.9, 0.8, 0.2, 0.7, 0.1, 0.1, 0.6], add_proposals=True)
    assert (2, 10) in [(m.start_s, m.end_s) for m in with_runs.moments]


@pytest.mark.parametrize(
    ("proposals", "expected"),
    [
        ({"max_gap": 0}, [(2, 6, 0.875), (8, 10, 0.75), (14, 16, 0.5)]),
        ({"max_gap": 2}, [(2, 16, 3.25 / 7)]),
        ({"min_rate": 0.75}, [(2, 10, 2.75 / 4)]),
        ({"min_rate": 1.0}, [(2, 4, 1.0)]),
    ],
)
def test_a_proposal_needs_its_share_of_steps_and_bridges_as_many_clips_as_are_set(proposals, expected):
    answer, _ = ask([0.1, 0.9, 0.8, 0.2, 0.7, 0.1, 0.1, 0.6], proposals=proposals)
    assert [tuple(p) for p in answer.proposals] == expected


@pytest.mark.parametrize("n_clips", [1, 74, 75, 76, 149, 1000])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.9])
def test_chunks_cover_every_clip_once_and_are_full(n_clips, overlap):
    limits = chunk_limits(n_clips, GroundingConfig(chunk_clips=75, chunk_overlap=overlap))
    assert [i for _, own in limits for i in range(own.start, own.stop)] == list(range(n_clips))
    for read, own in limits:
        assert read.stop - read.start == min(75, n_clips)
        assert read.start <= own.start < own.stop <= read.stop


def test_a_clip_is_answered_by_the_chunk_where_it_stands_most_central():
    limits = chunk_limits(1000, GroundingConfig(chunk_clips=75))
    for clip in range(1000):
        (own,) = [read for read, answered in limits if answered.start <= clip < answered.stop]
        distance = abs(clip + 0.5 - (own.start + own.stop) / 2)
        others = [abs(clip + 0.5 - (r.start + r.stop) / 2) for r, _ in limits if r.start <= clip < r.stop]
        assert distance <= min(others) + 1


def test_a_long_video_gives_the_same_windows_as_if_read_at_once():
    values = np.random.default_rng(0).random(200)
    whole, _ = ask(values)
    chunked, model = ask(values, chunk_clips=30, batch_size=4)
    assert max(max(lengths) for lengths in model.seen) == 30
    assert max(len(lengths) for lengths in model.seen) == 4
    np.testing.assert_allclose(chunked.saliency, whole.saliency, rtol=1e-6)
    np.testing.assert_allclose(np.array(chunked.moments), np.array(whole.moments), atol=1e-4)


def test_questions_are_answered_in_order_whatever_their_lengths():
    rng = np.random.default_rng(0)
    lengths = [5, 200, 1, 64, 90, 3]
    questions = [Question(rng.random((n, 1), dtype=np.float32), np.zeros((2, 3), np.float32), 2.0 * n) for n in lengths]
    config = GroundingConfig(chunk_clips=40, batch_size=3)
    answers = list(answer_questions(Oracle(), questions, 2.0, config))
    assert [len(answer.saliency) for answer in answers] == lengths
    for question, answer in zip(questions, answers, strict=True):
        (alone,) = answer_questions(Oracle(), [question], 2.0, config)
        assert alone.moments == answer.moments


def test_no_questions_no_answers():
    assert list(answer_questions(Oracle(), [], 2.0, GroundingConfig())) == []


def test_a_real_model_answers_with_scores_between_zero_and_one():
    torch.manual_seed(0)
    tiny = {"width": 16, "n_blocks": 1, "slots": {"n_slots": 2}, "spiking_saliency": {"n_spike_steps": 2, "n_heads": 2}}
    model = SpikeMba(SpikeMbaConfig.parse({**tiny, "mixer": {"n_heads": 2}}), 4, 3)
    rng = np.random.default_rng(0)
    question = Question(rng.normal(size=(33, 4)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32), 65.0)
    (answer,) = answer_questions(model, [question], 2.0, GroundingConfig(chunk_clips=10))
    assert not model.training
    assert all(0 <= m.start_s < m.end_s <= 65 and 0 <= m.score <= 1 for m in answer.moments)
    assert answer.saliency.shape == answer.foreground.shape == (33,)
    assert ((answer.saliency >= 0) & (answer.saliency <= 1)).all()


@pytest.mark.parametrize(
    ("limit", "passes"),
    [
        (1000, [(3, 90), (3, 64)]),
        (200, [(2, 80), (1, 90), (3, 64)]),
        (100, [(1, 80), (1, 40), (1, 90), (1, 64), (2, 9)]),
    ],
)
def test_a_pass_holds_no_more_clips_than_are_allowed_but_always_a_chunk(limit, passes):
    lengths = [80, 40, 90, 64, 9, 3]
    questions = [Question(np.full((n, 1), 0.5, np.float32), np.zeros((2, 3), np.float32), 2.0 * n) for n in lengths]
    model = Oracle()
    config = GroundingConfig(chunk_clips="whole", batch_size=3, clips_per_pass=limit)
    answers = list(answer_questions(model, questions, 2.0, config))
    assert [len(answer.saliency) for answer in answers] == lengths
    assert [(len(seen), max(seen)) for seen in model.seen] == passes


def test_questions_about_one_video_are_answered_as_alone_and_it_is_projected_once():
    torch.manual_seed(0)
    model = SpikeMba(SpikeMbaConfig.parse({"width": 16, "spiking_saliency": {"n_heads": 2}}), 4, 3)
    rng = np.random.default_rng(0)
    videos = [rng.normal(size=(n, 4)).astype(np.float32) for n in (33, 12, 50)]
    asked = [
        Question(videos[i], rng.normal(size=(w, 3)).astype(np.float32), 60.0)
        for i, w in zip((0, 1, 0, 2, 2, 0, 1), (5, 3, 2, 4, 1, 6, 2), strict=True)
    ]
    config, rows = GroundingConfig(chunk_clips=20, batch_size=100), []
    hook = model.video_projection.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    together = list(answer_questions(model, asked, 2.0, config))
    hook.remove()
    assert rows == [sum(len(chunk_limits(len(video), config)) for video in videos)]
    for question, answer in zip(asked, together, strict=True):
        (alone,) = answer_questions(model, [question], 2.0, config)
        np.testing.assert_allclose(np.array(answer.moments), np.array(alone.moments), atol=1e-5)
        np.testing.assert_allclose(answer.saliency, alone.saliency, atol=1e-6)


@pytest.mark.parametrize("step_s", [0.5, 2.0, 4.0, 10.0])
@pytest.mark.parametrize("duration_s", [0.4, 1.0, 3.1, 6.0, 9.9])
def test_a_moment_never_rounds_to_nothing(step_s, duration_s):
    rng = np.random.default_rng(0)
    windows = np.sort(rng.uniform(0, duration_s, (200, 2)), axis=1)
    windows = np.concatenate((windows, [[0, 0.01], [duration_s - 0.01, duration_s], [0, duration_s]]))
    found = _rounded(windows, step_s, duration_s)
    assert (found[:, 1] > found[:, 0]).all()
    assert ((found >= 0) & (found <= duration_s)).all()
    whole = (np.abs(found / step_s - np.round(found / step_s)) < 1e-9) | (found == duration_s)
    assert whole.all()
    np.testing.assert_array_less(np.abs(found - windows), step_s)


def test_a_video_of_one_second_gets_an_answer_under_a_rounding_of_two():
    answer, _ = ask([0.9], duration_s=0.9, round_to_s=2)
    assert [(m.start_s, m.end_s) for m in answer.moments] == [(0, 0.9)]


class Late(Oracle):
    """Points behind the end of every video."""

    def forward(self, batch):
        found = super().forward(batch)
        return replace(found, boundaries=torch.tensor([0.9, 1.0]).expand_as(found.boundaries))


def test_a_query_whose_windows_all_lie_behind_the_video_is_answered_by_its_best_clip():
    question = Question(np.asarray([[0.2], [0.9]], np.float32), np.zeros((2, 3), np.float32), 3.0)
    (answer,) = answer_questions(Late(), [question], 2.0, GroundingConfig(score="foreground"))
    assert [tuple(m)[:2] for m in answer.moments] == [(2, 3), (0, 2)]


@pytest.mark.parametrize("last_s", [0.1, 0.6, 0.99, 1.0, 1.9, 2.0])
def test_every_proposal_has_a_score_however_little_of_the_last_clip_is_there(last_s):
    for fires in ([0.1, 0.2, 0.3, 0.9], [0.9, 0.1, 0.1, 0.1], [0.9] * 4, [0.1, 0.9, 0.1, 0.9]):
        answer, _ = ask(fires, duration_s=6 + last_s, add_proposals=True, max_iou=1.0)
        assert all(np.isfinite(moment.score) for moment in answer.moments)
    answer, _ = ask([0.1, 0.2, 0.3, 0.9], duration_s=6 + last_s, add_proposals=True, max_iou=1.0)
    assert [m.score for m in answer.moments if m.start_s == 6] == pytest.approx([0.9, 0.9])


def test_two_rows_of_a_video_of_two_seconds_are_a_second_each():
    """As published CLIP features have them: counted as 2 s each, the second half would lie behind the end."""
    answer, _ = ask([0.1, 0.9], duration_s=2.0)
    assert [(m.start_s, m.end_s) for m in answer.moments] == [(1, 2), (0, 1)]
    assert [(p.start_s, p.end_s) for p in answer.proposals] == [(1, 2)]
