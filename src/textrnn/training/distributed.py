"""Training in several processes, with torch.distributed; in one process nothing changes.

Start them with ``torchrun --nproc-per-node 2 train.py``, and join them with
``torch.distributed.init_process_group`` before ``fit``. Each process reads its own rows of
every batch (``ContiguousBatcher`` takes ``rank`` and ``world_size``), and gradients are
averaged, so the weights are the same in every process, and the same as with one process.
"""

import os

import torch
from torch import nn

from textrnn.checks import warn


def rank_and_world_size() -> tuple[int, int]:
    """Return the number of this process and the number of processes; (0, 1) for a single one.

    >>> rank_and_world_size()
    (0, 1)
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def warn_if_alone() -> None:
    """Warn if ``torchrun`` started several processes that do not know of each other."""
    if not torch.distributed.is_available() or torch.distributed.is_initialized():
        return
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1 and torch.distributed.is_torchelastic_launched():
        warn(
            f"torchrun started {processes} processes, but each trains alone, on all of the text: "
            "call torch.distributed.init_process_group() before fit, and they train together."
        )


def broadcast_parameters(model: nn.Module) -> None:
    """Give every process the parameters of the first one."""
    if rank_and_world_size()[1] > 1:
        for parameter in model.parameters():
            torch.distributed.broadcast(parameter.detach(), 0)


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Replace the gradients by their means over all processes.

    They travel as one tensor: the models are small, and a message costs more than its bytes.

    Args:
        parameters: those without a gradient are skipped, in every process the same.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = all_reduce_mean(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def all_reduce_mean(value: torch.Tensor) -> torch.Tensor:
    """Return the mean of a tensor over all processes, in every process."""
    world_size = rank_and_world_size()[1]
    if world_size > 1:
        torch.distributed.all_reduce(value)
        value = value / world_size
    return value


def any_rank(flag: bool, device: torch.device) -> bool:
    """Return whether a flag is set in any process; the answer is the same in all of them.

    Args:
        flag: the flag of this process.
        device: where its model is.

    >>> any_rank(True, torch.device("cpu"))
    True
    """
    if rank_and_world_size()[1] == 1:
        return flag
    flags = torch.tensor(float(flag), device=device)
    torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
    return bool(flags)
