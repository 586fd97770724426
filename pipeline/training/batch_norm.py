"""Batch normalisation over the rows of all workers, so that a team computes what one worker would."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as together
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation with the statistics of all workers' rows in training; on any backend, unlike SyncBatchNorm.

    State dicts are the same. Every worker has to ask it equally often.
    """

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        if not (self.training and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(values)
        axes = [axis for axis in range(values.dim()) if axis != 1]
        exact = values.float()
        count = exact.new_tensor([values.numel() / values.shape[1]])
        sums: Tensor = together.all_reduce(torch.cat((exact.sum(axes), exact.square().sum(axes), count)))  # type: ignore[no-untyped-call]
        channels, rows = values.shape[1], sums[-1]
        mean = sums[:channels] / rows
        variance = (sums[channels : 2 * channels] / rows - mean.square()).clamp(min=0)
        self._follow(mean.detach(), variance.detach() * rows.detach() / (rows.detach() - 1).clamp(min=1))
        shape = [1, channels, *[1] * (values.dim() - 2)]
        normed: Tensor = (exact - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normed = normed * self.weight.view(shape) + self.bias.view(shape)
        return normed.to(values.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)

    def _check_input_dim(self, values: Tensor) -> None:
        """Any number of axes."""


def share_batch_norms(module: nn.Module) -> nn.Module:
    """`module` with its batch normalisations replaced by shared ones of the same parameters and statistics."""
    for name, child in list(module.named_children()):
        setattr(module, name, share_batch_norms(child))
    if type(module) not in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
        return module
    assert isinstance(module, _BatchNorm)
    shared = SharedBatchNorm(
        module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
    )
    shared.weight, shared.bias = module.weight, module.bias
    shared.running_mean, shared.running_var = module.running_mean, module.running_var
    shared.num_batches_tracked = module.num_batches_tracked
    return shared.train(module.training)
