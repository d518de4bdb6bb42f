"""The update at hand: what its microbatches weigh, and what is measured of its gradient on the way."""

from __future__ import annotations

import torch
import torch.distributed

from syllabus.trainer.batch_size.gradient_norms import scale_gradients, squared_norm
from syllabus.trainer.errors import TrainerError

NOTHING = "AdaptiveBatchSize.scaled: nothing in an update counts, so its mean does not exist"


class Update:
    """Weighs losses so that the gradients end as Σ of the examples' gradients over their true number.

    Until the true number is known, sums are divided by the number expected; what was accumulated is corrected
    before the last backward pass, so that averaging over ranks, unscaling and clipping meet the right values.
    An update of one microbatch, as in plain training, has weight exactly 1 and is corrected by nothing.

    Args:
        parameters: that have the gradients.
        share: examples of this rank that are expected.
        world: W; gradients are averaged over so many ranks by the model.

    Attributes:
        taken: examples of this rank so far.
        complete: whether the microbatch at hand is the last.
        last: whether the pass over the data ends with it.
        all: after the last `scaled`, examples of all ranks.
        loss: after it, the mean loss over all ranks.
        norm: ‖g‖² of the whole; None before `measure_whole`.
        first_norm: ‖g‖² of the first microbatch's mean gradient, mean over ranks; None where it is the only
            one.
        first: examples of the first microbatch.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], share: int, world: int) -> None:
        self._parameters, self._share, self._world = parameters, share, world
        self.taken = self.microbatches = self.first = self.all = self._size = 0
        self.complete = self.last = False
        self.weighed = True
        self.norm: torch.Tensor | None = None
        self.first_norm: torch.Tensor | None = None
        self._sum: torch.Tensor | None = None
        self._mean: torch.Tensor | None = None
        self._counted = self._total = self._nominal = 0.0

    def begin(self, examples: int, last: bool) -> None:
        """Take the next microbatch, of so many examples."""
        self._size, self.weighed = examples, False
        self.taken += examples
        self.microbatches += 1
        self.last = last
        self.complete = last or self.taken >= self._share

    def scaled(self, loss: torch.Tensor, count: float | None) -> torch.Tensor:
        """Return the mean `loss` over `count` (by default the examples) times its weight.

        The last one of an update asks the other ranks for their counts: one small all-reduce an update.
        """
        counted = float(self._size if count is None else count)
        self.weighed = True
        value = loss.detach()
        if self.microbatches == 1 and self.complete and self._world == 1:
            # As in plain training: nothing is added up, so that nothing is spent on it.
            if counted <= 0:
                raise TrainerError(NOTHING)
            self.first, self.all, self._mean = self._size, self.taken, value
            return loss
        value = value * counted
        if not self._nominal:  # the first, or the first that goes backward
            # Of what is not counted in examples (tokens) the number is a guess; any would do.
            self._nominal = max(counted / self._size, 1e-12) * self._share * self._world
            self.first, self._sum = self._size, value
        else:
            self._sum = value if self._sum is None else self._sum + value
        self._counted += counted
        if not self.complete:
            return _times(loss, counted * self._world / self._nominal)
        self._sum_over_ranks()
        if self._total <= 0:
            raise TrainerError(NOTHING)
        if self.microbatches > 1 and self._total != self._nominal:
            scale_gradients(self._parameters, self._nominal / self._total)
        return _times(loss, counted * self._world / self._total)

    def measure_first(self, loss_scale: float) -> None:
        """Measure the first microbatch's gradient, before the second adds its own."""
        if self.microbatches == 1 and self.weighed and not self.complete and self._counted:
            factor = self._counted * self._world / self._nominal * loss_scale
            self.first_norm = squared_norm(self._parameters) / factor**2

    def measure_whole(self, loss_scale: float) -> None:
        """Measure the update's gradient: of the mean over all ranks, not clipped yet."""
        if self.norm is None:
            norm = squared_norm(self._parameters)
            self.norm = norm if loss_scale == 1 else norm / loss_scale**2

    @property
    def loss(self) -> torch.Tensor:
        """The mean loss of what counts, over all ranks."""
        if self._mean is None:
            self._mean = self._added() / self._total
        return self._mean

    def _added(self) -> torch.Tensor:
        return torch.zeros(()) if self._sum is None else self._sum

    def _sum_over_ranks(self) -> None:
        self._total, self.all = self._counted, self.taken
        if self._world == 1:
            return
        added = self._added()
        device = added.device
        counts = torch.tensor([self._counted, self.taken], dtype=torch.float64)
        first = torch.zeros(()) if self.first_norm is None else self.first_norm
        both = torch.stack([added.double(), first.to(device).double()])
        every = torch.cat([counts.to(device), both])
        torch.distributed.all_reduce(every)
        # sync: the true number is needed before the last backward pass
        self._total, examples, total_loss, first_norms = every.tolist()
        self.all, self._sum = round(examples), torch.tensor(total_loss, dtype=torch.float64)
        if self.first_norm is not None:
            self.first_norm = torch.tensor(first_norms / self._world, dtype=torch.float64)


def _times(loss: torch.Tensor, weight: float) -> torch.Tensor:
    return loss if weight == 1 else loss * weight
