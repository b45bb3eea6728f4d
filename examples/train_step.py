"""The network alone: a batch of your own tensors, a forward pass, one step of training.

python examples/train_step.py
"""

import torch

from spikemba import Batch, LossConfig, SpikeMba, SpikeMbaConfig, Targets, grounding_loss

B, L, W = 2, 40, 9  # pairs, clips, query tokens


def a_batch() -> Batch:
    """Two videos, the second one shorter; in each, clips 10 to 19 are what the query means."""
    lengths = torch.tensor([40, 30])
    video_mask = torch.arange(L) < lengths[:, None]
    inside = (torch.arange(L) >= 10) & (torch.arange(L) < 20)
    targets = Targets(
        foreground=inside.expand(B, L),
        boundaries=(torch.tensor([10.0, 20.0]) / lengths[:, None])[:, None].expand(B, L, 2),
        relevance=inside.expand(B, L).float(),
        has_windows=torch.ones(B, dtype=torch.bool),
        video_group=torch.arange(B),
        query_group=torch.arange(B),
        n_ranks=1,
    )
    video = torch.randn(B, L, 512) + 3 * inside[:, None]
    return Batch(video, video_mask, torch.randn(B, W, 256), torch.ones(B, W, dtype=torch.bool), targets)


def main() -> None:
    torch.manual_seed(0)
    config = SpikeMbaConfig.parse({"width": 64, "n_blocks": 2, "slots": {"n_slots": 4}})
    model = SpikeMba(config, n_video_features=512, n_query_features=256)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    batch = a_batch()
    for step in range(20):
        loss, terms = grounding_loss(model(batch), batch, LossConfig())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (0, 19):
            print(f"step {step + 1:2d}: loss {loss.item():.3f}, ", end="")
            print(", ".join(f"{name} {term.item():.3f}" for name, term in terms.items()))
    prediction = model.eval()(batch)
    print("clips that fire:", (prediction.proposal_rates[0] >= 0.5).nonzero().flatten().tolist())


if __name__ == "__main__":
    main()
