"""The batch norm over real positions, beside torch's and its own parts."""

import threading

import torch

from spikemba.model.masked_norm import MaskedBatchNorm
from spikemba.ops.recompute import recomputed


def test_without_padding_it_is_batch_norm():
    torch.manual_seed(0)
    ours, theirs = MaskedBatchNorm(5), torch.nn.BatchNorm1d(5)
    x = 3 * torch.randn(4, 7, 5) + 2
    mask = torch.ones(4, 7, dtype=torch.bool)
    torch.testing.assert_close(ours(x, mask), theirs(x.transpose(1, 2)).transpose(1, 2))


def test_statistics_see_real_positions_only():
    torch.manual_seed(0)
    x, mask = torch.randn(2, 6, 3), torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]]).bool()
    norm = MaskedBatchNorm(3)
    out = norm(torch.where(mask[..., None], x, 1e6), mask)
    real = x[mask]
    expected = (real - real.mean(0)) / torch.sqrt(real.var(0, unbiased=False) + norm.eps)
    torch.testing.assert_close(out[mask], expected)
    torch.testing.assert_close(norm.running_mean, real.mean(0))
    torch.testing.assert_close(norm.running_var, real.var(0))


def test_the_steps_count_as_positions():
    torch.manual_seed(0)
    x, mask = torch.randn(3, 2, 4, 5), torch.ones(2, 4, dtype=torch.bool)
    norm = MaskedBatchNorm(5)
    norm(x, mask)
    torch.testing.assert_close(norm.running_mean, x.mean((0, 1, 2)))


def test_running_statistics_begin_as_a_plain_average():
    norm, mask = MaskedBatchNorm(1, momentum=0.1), torch.ones(1, 4, dtype=torch.bool)
    for value in (1.0, 3.0, 8.0):
        norm(torch.full((1, 4, 1), value), mask)
    torch.testing.assert_close(norm.running_mean, torch.tensor([4.0]))
    for _ in range(20):
        norm(torch.full((1, 4, 1), 4.0), mask)
    norm(torch.full((1, 4, 1), 14.0), mask)
    torch.testing.assert_close(norm.running_mean, torch.tensor([5.0]))


def test_evaluation_right_after_one_update_is_close_to_training():
    torch.manual_seed(0)
    x, mask = 5 * torch.randn(8, 40, 6) - 3, torch.ones(8, 40, dtype=torch.bool)
    norm = MaskedBatchNorm(6)
    trained = norm(x, mask)
    torch.testing.assert_close(norm.eval()(x, mask), trained, rtol=0.01, atol=0.01)


def test_a_norm_that_is_computed_again_learns_once_also_when_the_backward_pass_runs_in_another_thread():
    norm, mask = MaskedBatchNorm(3), torch.ones(2, 4, dtype=torch.bool)
    ran = []

    def run(x):
        ran.append(threading.current_thread())
        return norm(x, mask) ** 2

    y = recomputed(run, torch.randn(2, 4, 3, requires_grad=True)).sum()
    thread = threading.Thread(target=y.backward)
    thread.start()
    thread.join()
    assert ran == [threading.main_thread(), thread]
    assert norm.n_updates == 1
    norm(torch.randn(2, 4, 3), mask)
    assert norm.n_updates == 2
