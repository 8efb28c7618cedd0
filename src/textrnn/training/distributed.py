"""Several processes on one training, by torch.distributed; nothing in one process.

Start them with ``torchrun --nproc-per-node 2 train.py``. Each process reads its own rows of
every batch (``ContiguousBatcher`` takes ``rank`` and ``world_size``) and gradients are
averaged, so the weights are the same everywhere and equal those of one process.
"""

import torch
from torch import nn


def rank_and_world_size() -> tuple[int, int]:
    """Return the number of this process, and how many there are; (0, 1) if there is one.

    >>> rank_and_world_size()
    (0, 1)
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def wrap(model: nn.Module) -> nn.Module:
    """Return the model to call in training: the model itself, or one that averages gradients."""
    if rank_and_world_size()[1] == 1:
        return model
    return nn.parallel.DistributedDataParallel(
        model, broadcast_buffers=False, gradient_as_bucket_view=True
    )


def all_reduce_mean(value: torch.Tensor) -> torch.Tensor:
    """Average a tensor over the processes; every process gets the result."""
    world_size = rank_and_world_size()[1]
    if world_size > 1:
        torch.distributed.all_reduce(value)
        value = value / world_size
    return value


def any_rank(flag: bool, device: torch.device) -> bool:
    """Return whether a flag is set in any process; all of them get the same answer.

    Args:
        flag: this process's.
        device: where its model is.

    >>> any_rank(True, torch.device("cpu"))
    True
    """
    if rank_and_world_size()[1] == 1:
        return flag
    flags = torch.tensor(float(flag), device=device)
    torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
    return bool(flags)
