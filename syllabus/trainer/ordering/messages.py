"""Messages of every rank to every rank: a header, and the gradient features of its own examples.

They have a process group of their own, so that none is in the middle of what DistributedDataParallel sends.
All are of one size, so that a rank that sends another kind than the others is an error and not a hang.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed

from syllabus.selectors.balancing.vectors import DenseVectors, OuterProducts, VectorBlock
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.ordering.silent_ranks import missing

BEGINNING, STEP, END = 1, 2, 3  # kinds of messages
_NONE, _DENSE, _OUTER = 0, 1, 2  # forms of features


class Header(NamedTuple):
    """What a message says of itself.

    Attributes:
        kind: `BEGINNING` where an epoch is begun or gone on with, `STEP`, or `END` where it is through.
        epoch, step: where its rank stands; steps count from that beginning.
        digest: of what must be equal on all ranks.
        count: rows of features.
        form, left, right, bias: of the features.
    """

    kind: int
    epoch: int
    step: int
    digest: int
    count: int = 0
    form: int = _NONE
    left: int = 0
    right: int = 0
    bias: int = 0

    def bytes(self) -> int:
        """Return the size of the features, and of the groups that they are of."""
        return self.count * (8 + 4 * (self.left + self.right))


_HEADER = 8 * len(Header._fields)


class Told(NamedTuple):
    """The features of one step of all ranks, one rank's after the other's.

    Attributes:
        block: of all rows; None where no rank has any.
        groups: (rows,) int64.
        counts: rows of each rank.
    """

    block: VectorBlock | None
    groups: np.ndarray
    counts: list[int]


class Messages:
    """The messages of this rank and of the others, one under way at a time; made by all ranks together.

    Attributes:
        world, rank: W and r of `torch.distributed`.
        sent: bytes that this rank has given out, to each other rank.
        unanswered: whether a rank did not answer.
    """

    def __init__(self) -> None:
        self.world, self.rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
        self._device = torch.device("cpu")
        if "nccl" in torch.distributed.get_backend_config():
            self._device = torch.device("cuda", torch.cuda.current_device())
        # Asked of the default group: a new one would have torch's default, half an hour.
        options = getattr(torch.distributed.group.WORLD._get_backend(self._device), "options", None)
        self._group = torch.distributed.new_group(timeout=getattr(options, "_timeout", None))
        self._room = 0  # bytes for features in a message
        self._mine = self._all = torch.empty(0)
        self._header: Header | None = None  # of the message under way
        self._known: list[Header] | None = None  # of all ranks, where it must be sent again for its size
        self._block: VectorBlock | None = None
        self._groups = np.empty(0, np.int64)
        self._work: Any = None
        self._failed, self.unanswered = "", False
        self.sent = 0

    @property
    def waiting(self) -> bool:
        """Whether a message is under way."""
        return self._header is not None

    def agree(self, kind: int, epoch: int, equal: Mapping[str, Any]) -> None:
        """Wait for all ranks at the beginning or end of an epoch; raise on all if one is not `equal`."""
        mine = {name: str(value) for name, value in equal.items()}
        digest = hashlib.sha256(repr(sorted(mine.items())).encode()).digest()
        self._send(Header(kind, epoch, 0, int.from_bytes(digest[:8], "little", signed=True)), None)
        headers, self._header = self._received(), None
        if len({header.digest for header in headers}) == 1:
            return
        found: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(found, mine, group=self._group)
        differ = []
        for name, value in found[0].items():
            rank = next((rank for rank, other in enumerate(found) if other.get(name) != value), None)
            # The order follows from the rest, so it is named only where that is equal.
            if rank is not None and not (differ and name in ("order", "state")):
                differ.append(f"{name} is {value} on rank 0 and {found[rank].get(name)} on rank {rank}")
        at = _place(Header(kind, epoch, 0, 0))
        self._stop(f"GraB: {at}: the ranks differ: {'; '.join(differ)}")

    def start(
        self, epoch: int, step: int, digest: int, block: VectorBlock | None, groups: np.ndarray
    ) -> None:
        """Send the features of a step; None where this rank has none.

        Args:
            epoch: where this rank stands.
            step: likewise.
            digest: of the server's signs so far, which must be the other ranks'.
            block: (B,) vectors.
            groups: (B,) int64.
        """
        form = (0, _NONE, 0, 0, 0)
        if isinstance(block, OuterProducts):
            form = (len(block), _OUTER, block.left.shape[1], block.right.shape[1], int(block.bias))
        elif block is not None:
            form = (len(block), _DENSE, 0, block.width, 0)
        self._send(Header(STEP, epoch, step, digest, *form), block, groups)

    @property
    def sized(self) -> bool:
        """Whether the ranks know how large a message is; before, what is told takes two of them."""
        return self._room > 0

    def finish(self, alone: bool = False) -> Told | None:
        """Wait for the message under way and return what all ranks told.

        Args:
            alone: whether the other ranks may not be at it: where a larger message is needed, return None
                and leave it under way.

        Raises:
            TrainerError: a rank did not answer, is at another step, has another order or other features.
        """
        headers, self._known = self._known or self._received(), None
        most = max(header.bytes() for header in headers)
        if most > self._room and alone:
            self._known = headers
            return None
        if most > self._room:  # the first step, and a larger batch than any before
            assert self._header is not None
            sent, self._room = self._header, -(-most // 64) * 64
            self._send(sent, self._block, self._groups)
            headers = self._received()
        self._header = self._block = None
        forms = {header[5:]: rank for rank, header in enumerate(headers) if header.count}
        if len(forms) > 1:
            (one, first), (other, second) = list(forms.items())[:2]
            self._stop(
                f"GraB: features of rank {first} are {_shown(*one)}, of rank {second} {_shown(*other)}"
            )
        counts = [header.count for header in headers]
        if not forms:
            return Told(None, np.empty(0, np.int64), counts)
        form, left, right, bias = next(iter(forms))
        groups, rows = [], []
        for message, count in zip(self._all, counts, strict=True):
            ends = _HEADER, _HEADER + 8 * count, _HEADER + (8 + 4 * (left + right)) * count
            groups.append(message[ends[0] : ends[1]].view(torch.int64))
            rows.append(message[ends[1] : ends[2]].view(torch.float32).view(count, left + right))
        every = torch.cat(rows)
        if form == _OUTER:
            block: VectorBlock = OuterProducts(every[:, :left], every[:, left:], bool(bias))
        else:
            block = DenseVectors(every)
        return Told(block, torch.cat(groups).cpu().numpy(), counts)

    # Private.

    def _send(self, header: Header, block: VectorBlock | None, groups: np.ndarray | None = None) -> None:
        if self._failed:
            raise TrainerError(self._failed)
        size = _HEADER + self._room
        if self._mine.numel() != size:
            self._mine = torch.zeros(size, dtype=torch.uint8, device=self._device)
            self._all = torch.zeros(self.world, size, dtype=torch.uint8, device=self._device)
        self._mine[:_HEADER].view(torch.int64)[: len(header)] = torch.tensor(header, device=self._device)
        if block is not None and groups is not None and header.bytes() > self._room:
            block = block.copy()  # it is sent when the others know its size; the caller may write over it
        elif block is not None and groups is not None:
            count, end = header.count, _HEADER + header.bytes()
            self._mine[_HEADER : _HEADER + 8 * count].view(torch.int64).copy_(torch.from_numpy(groups))
            rows = self._mine[_HEADER + 8 * count : end].view(torch.float32).view(count, -1)
            if isinstance(block, OuterProducts):
                rows[:, : header.left], rows[:, header.left :] = block.left, block.right
            else:
                rows.copy_(block.rows)
        self._header, self._block = header, block
        self._groups = self._groups if groups is None else groups
        self.sent += size
        try:
            self._work = torch.distributed.all_gather(
                list(self._all.unbind()), self._mine, group=self._group, async_op=True
            )
        except RuntimeError as error:
            self._fail(header, error)

    def _received(self) -> list[Header]:
        """Wait, and return the headers of all ranks, which are of one kind, epoch, step and order."""
        header, work, self._work = self._header, self._work, None
        assert header is not None
        try:
            work.wait()
            found = self._all[:, :_HEADER].contiguous().view(torch.int64).tolist()
        except RuntimeError as error:
            self._fail(header, error)
        headers = [Header(*fields[: len(header)]) for fields in found]
        for rank, other in enumerate(headers):
            if other[:3] != headers[0][:3]:
                self._stop(
                    f"GraB: rank 0 is at {_place(headers[0])} and rank {rank} at {_place(other)}; every rank"
                    " calls grab.step after each batch, or grab.skip where it has no gradients"
                )
            if header.kind == STEP and other.digest != headers[0].digest:
                self._stop(f"GraB: {_place(header)}: the order of rank {rank} is not that of rank 0")
        return headers

    def _fail(self, header: Header, error: Exception) -> None:
        self.unanswered, silent = True, missing(self._group.group_name)
        # Without the place in the backend's source, and its advice.
        reason = re.sub(r"^\[[^]]*\] ", "", str(error).strip()).split("\n")[0].split(". ")[0]
        self._stop(
            f"GraB: {_place(header)}: rank {self.rank} got no answer from {silent} ({reason});"
            " the job cannot go on: start it again from its last checkpoint"
        )

    def _stop(self, message: str) -> None:
        self._failed, self._header, self._block, self._known = message, None, None, None
        raise TrainerError(message) from None


def _place(header: Header) -> str:
    if header.kind != STEP:
        return f"the {'beginning' if header.kind == BEGINNING else 'end'} of epoch {header.epoch}"
    return f"step {header.step} of epoch {header.epoch}"


def _shown(form: int, left: int, right: int, bias: int) -> str:
    if form == _OUTER:
        return f"outer products of {left} and {right} numbers{' with bias' if bias else ''}"
    return f"vectors of {right} numbers"
