"""Time and spread of tr F and tr H of a transformer of a million parameters, beside the target.

Usage: python benchmarks/curvature.py [--threads 2] [--steps 300] [--units 48] [--seconds 10]

A pre-LN transformer (16 positions, 50 tokens, float32) is trained for some steps on a hidden Markov language, so
that p_θ is neither uniform nor certain. Every method takes some batches in turn; printed is what they say the relative
half width of a 95% interval would be after the given seconds, by their time and spread. Nothing is asserted.
The target is a half width of 1% of the 95% interval, a standard error of about 0.5%, in 10 s on two cores; at the
end it is run for, for the same network of torch's layers and for the house transformer of about its size.
"""

from __future__ import annotations

import argparse
import math
import time

import torch
from torch import Tensor, nn

from synthetic.hmm import dirichlet_hmm
from verify.curvature import METHODS, LanguageData, trace
from verify.networks import Transformer, TransformerConfig

LENGTH, TOKENS, WIDTH, LAYERS, HEADS, SEED = 16, 50, 128, 5, 4, 0
TARGET = 0.01


class StandIn(nn.Module):
    """A masked-token transformer of torch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(TOKENS + 1, WIDTH), nn.Embedding(LENGTH, WIDTH)
        block = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, TOKENS)

    def forward(self, contexts: Tensor) -> Tensor:
        """Return log p(y | x) at the masked position."""
        masked = contexts < 0
        places = torch.arange(LENGTH).expand(contexts.shape)  # one for each example, as the rule asks
        states = self.blocks(self.tokens(contexts.masked_fill(masked, TOKENS)) + self.positions(places))
        return torch.log_softmax(self.head(states[masked]), dim=-1)


def train(model: nn.Module, data: LanguageData, steps: int, generator: torch.Generator) -> float:
    """Train on sampled targets and return the last loss."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss = torch.tensor(math.nan)
    for _ in range(steps):
        batch = data.draw(128, generator)
        assert batch.targets is not None
        loss = nn.functional.nll_loss(model(batch.inputs), batch.targets)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs
        optimiser.step()
    return float(loss.detach())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--units", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(SEED)
    data = LanguageData(dirichlet_hmm(generator, 20, TOKENS, LENGTH, concentration=0.1))
    with torch.random.fork_rng():  # torch's layers draw their parameters from the global generator
        torch.manual_seed(SEED)
        model = StandIn()
    loss = train(model, data, arguments.steps, generator)
    parameters = sum(value.numel() for value in model.parameters())
    print(f"{parameters} parameters, {arguments.steps} steps to a loss of {loss:.3f} nats; {arguments.threads} threads")
    print(f"{'method':<20}{'batch':>6}{'probes':>7}{'trace':>10}{'s/unit':>9}{'spread':>8}  half width at 95%")
    runs = [(name, size) for name in METHODS for size in (4, 8, 16, 32) if name != "exact"]
    for name, size in runs:
        if METHODS[name].second_order and size < 32:
            continue
        start = time.perf_counter()
        found = trace(model, data, name, generator=generator, batches=arguments.units, batch_size=size)
        seconds = (time.perf_counter() - start) / arguments.units
        spread = found.relative_error / 2 * math.sqrt(arguments.units)
        after = 2 * spread * math.sqrt(seconds / arguments.seconds)
        print(
            f"{name:<20}{size:>6}{found.probes:>7}{found.estimate:>10.4g}{seconds:>9.4f}{spread:>8.2f}"
            f"  {after:6.2%} after {arguments.seconds:g} s",
            flush=True,
        )
    house = Transformer(
        TransformerConfig(TOKENS, LENGTH, width=WIDTH, layers=4, heads=8), (), [torch.Generator().manual_seed(SEED)]
    )
    train(house, data, arguments.steps, generator)
    for name, network in (("layers of torch", model), ("transformer of the house", house)):
        start = time.perf_counter()
        found = trace(network, data, "fisher-per-sample", generator=generator, relative_error=TARGET, batches=32)
        print(
            f"{name}, fisher-per-sample to a half width of {TARGET:.0%} at 95%: ± {found.relative_error:.2%} (standard "
            f"error about {found.relative_error / 2:.2%}) in {time.perf_counter() - start:.1f} s, {found.batches} "
            f"batches after {found.pilot}",
            flush=True,
        )


if __name__ == "__main__":
    main()
