"""CD-GraB under DistributedDataParallel: one script for one process and for many, on CPUs and on GPUs.

    python examples/ddp/train.py
    torchrun --standalone --nproc-per-node 2 examples/ddp/train.py
    torchrun --standalone --nproc-per-node 2 examples/ddp/train.py --stop-after 70   # is interrupted …
    python examples/ddp/train.py                                                     # … and goes on, on one

It goes on from `examples/ddp/data/checkpoint.pt` where there is one, on any number of processes, and removes
it in the end.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import datasets
import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, GraB, LastLayer, ManifestSampler

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "integrations"))
from material import Classifier, accuracy, columns, prepared, tokenised  # noqa: E402

GLOBAL_BATCH = 32  # examples an update has on all processes together


def start() -> torch.device:
    """Join the processes of torchrun, if there are any; return this one's device."""
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    if "RANK" in os.environ:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        if torch.distributed.get_rank() == 0:
            prepared()  # by one process, on first use
            tokenised()
        torch.distributed.barrier()
    return device


def train(
    manifest: Manifest,
    dataset: datasets.Dataset,
    inner: Classifier,
    checkpoint: Path,
    device: torch.device,
    epochs: int = 5,
    stop_after: int | None = None,
) -> int:
    """Train from `checkpoint`, if it is there, for at most `stop_after` steps; return how many there were."""
    rank, world = 0, 1
    if torch.distributed.is_initialized():
        rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    inner.to(device)
    model = DistributedDataParallel(inner) if world > 1 else inner
    optimizer = torch.optim.Adam(inner.parameters(), lr=0.01)
    # After the processes have met: the sampler deals positions r, r + W, … of the order to rank r.
    grab = GraB()
    curriculum = Curriculum(manifest, fraction=1.0, epochs=epochs, schedule="fresh", seed=0)
    sampler = ManifestSampler(curriculum, order=grab, ids=dataset["id"])
    features = LastLayer(inner.head)
    loader = DataLoader(columns(dataset), batch_size=GLOBAL_BATCH // world, sampler=sampler)
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=device)
        inner.load_state_dict(saved["model"])
        grab.load_state_dict(saved["grab"])  # before the sampler's, which names the order
        sampler.load_state_dict(saved["sampler"])
    used, steps = sampler.state_dict()["global_examples"], 0
    for epoch in range(sampler.epoch, epochs):
        sampler.set_epoch(epoch)
        for batch in loader:
            batch = {name: part.to(device) for name, part in batch.items()}
            loss = features.watch(model(**batch)["loss"], reduction="mean")
            loss.backward()
            grab.step(features())  # once after each backward pass, on every rank, before the optimizer
            optimizer.step()
            optimizer.zero_grad()
            used, steps = used + len(batch["labels"]) * world, steps + 1
            if rank == 0 and (steps % 25 == 0 or steps == stop_after):
                # One rank is enough: the states are the same on all, and hold on any number of ranks.
                states = {"model": inner.state_dict(), "grab": grab.state_dict()}
                torch.save({**states, "sampler": sampler.state_dict(used)}, checkpoint)
            if steps == stop_after:
                return steps
        used = 0
    if rank == 0:
        checkpoint.unlink(missing_ok=True)
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stop-after", type=int, help="steps after which to end, as an interruption would")
    arguments = parser.parse_args()
    device, checkpoint = start(), HERE / "data" / "checkpoint.pt"
    checkpoint.parent.mkdir(exist_ok=True)
    manifest, begun = prepared(), "went on" if checkpoint.exists() else "began"
    torch.manual_seed(0)
    dataset, model = tokenised(), Classifier()
    steps = train(manifest, dataset, model, checkpoint, device, stop_after=arguments.stop_after)
    if os.environ.get("RANK", "0") == "0":
        right = accuracy(model.cpu(), dataset)
        print(f"{begun} and made {steps} steps; accuracy on all {len(dataset):,} texts: {right:.1%}")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
