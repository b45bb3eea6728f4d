"""The loss of where moments are told to begin and to end, against the formula written out."""

import math

import torch

from spikemba.batch import Targets
from spikemba.losses import _true_edges, edges_loss

L = 8


def targets(*windows, has_windows=True, n_clips=L):
    """Of one pair: (first clip, last clip, begin, end) per window, times in clips."""
    foreground, boundaries = torch.zeros(1, n_clips, dtype=torch.bool), torch.zeros(1, n_clips, 2)
    for first, last, begin, end in windows:
        foreground[0, first : last + 1] = True
        boundaries[0, first : last + 1] = torch.tensor([begin, end]) / n_clips
    one = torch.zeros(1, dtype=torch.long)
    return Targets(foreground, boundaries, foreground.float(), torch.tensor([has_windows]), one, one, 1)


def shares(of, mask=None):
    mask = torch.ones(of.foreground.shape, dtype=torch.bool) if mask is None else mask
    return _true_edges(of.boundaries, of.foreground & of.has_windows[:, None], mask)[0].t()


MASK = torch.ones(1, L, dtype=torch.bool)


def test_a_window_of_whole_clips_begins_in_its_first_clip_and_ends_in_its_last():
    begins, ends = shares(targets((2, 4, 2.0, 5.0)))
    torch.testing.assert_close(begins, torch.eye(L)[2])
    torch.testing.assert_close(ends, torch.eye(L)[4])


def test_the_mean_edge_of_a_window_is_its_end_to_the_part_of_a_clip():
    begins, ends = shares(targets((2, 4, 1.7, 5.25)))
    torch.testing.assert_close(begins[[1, 2]], torch.tensor([0.3, 0.7]))
    torch.testing.assert_close(ends[[4, 5]], torch.tensor([0.75, 0.25]))
    torch.testing.assert_close(begins @ torch.arange(L).float(), torch.tensor(1.7))
    torch.testing.assert_close(ends @ torch.arange(1, L + 1).float(), torch.tensor(5.25))


def test_two_windows_count_alike_however_long_they_are():
    begins, ends = shares(targets((0, 0, 0.0, 1.0), (3, 7, 3.0, 8.0)))
    torch.testing.assert_close(begins, (torch.eye(L)[0] + torch.eye(L)[3]) / 2)
    torch.testing.assert_close(ends, (torch.eye(L)[0] + torch.eye(L)[7]) / 2)


def test_the_loss_of_two_windows_is_the_cross_entropy_less_the_truths_own():
    logits = torch.randn(1, L, 2, generator=torch.Generator().manual_seed(0))
    chance = logits.softmax(1)[0]
    begins = -(chance[0, 0].log() + chance[3, 0].log()) / 2 - math.log(2)
    ends = -(chance[0, 1].log() + chance[7, 1].log()) / 2 - math.log(2)
    given = targets((0, 0, 0.0, 1.0), (3, 7, 3.0, 8.0))
    torch.testing.assert_close(edges_loss(logits, given, MASK), (begins + ends) / 2)


def test_a_pair_without_windows_is_left_out():
    logits = torch.randn(1, L, 2)
    assert edges_loss(logits, targets((2, 4, 2.0, 5.0), has_windows=False), MASK) == 0
    assert edges_loss(logits, targets(), MASK) == 0


def test_clips_are_counted_without_the_padding_wherever_it_stands():
    """Three clips of padding before, between and behind: the window of clips 2 to 4 is in columns 4 to 6."""
    plain, real = targets((2, 4, 1.7, 5.25)), [1, 2, 4, 5, 6, 7, 8, 9]
    mask = torch.zeros(1, 11, dtype=torch.bool)
    mask[0, real] = True
    padded = targets(n_clips=11)
    padded.foreground[mask], padded.boundaries[mask] = plain.foreground[0], plain.boundaries[0]
    torch.testing.assert_close(shares(padded, mask)[:, real], shares(plain))
    assert not shares(padded, mask)[:, [0, 3, 10]].any()
    logits = torch.randn(1, 11, 2)
    expected = edges_loss(logits[:, real], plain, MASK)
    torch.testing.assert_close(edges_loss(logits, padded, mask), expected)


def test_every_clip_has_a_gradient():
    logits = torch.randn(1, L, 2, requires_grad=True)
    edges_loss(logits, targets((2, 4, 2.0, 5.0)), MASK).backward()
    assert logits.grad.all()
    assert (logits.grad[0, 2, 0] < 0, logits.grad[0, 4, 1] < 0) == (True, True)
