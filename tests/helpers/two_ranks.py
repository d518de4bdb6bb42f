"""Trains under one host on two real processes and writes what each saw

two_ranks.py MANIFEST OUTPUT    writes OUTPUT/HOST-RANK.json, a list of batches of numbers; also goes on from
                                OUTPUT/state-of-one.json, and leaves such states of its own
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from accelerate.state import AcceleratorState
from forked_launch import launch
from host_data import EPOCHS, STOP, Probe, ProbeWithHead, changed, keep_going

from syllabus.manifests import Manifest


def main(manifest: Manifest, output: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    dataset, rank = changed(manifest), os.environ["RANK"]

    def keep(host: str, model: Probe) -> None:
        (output / f"{host}-{rank}.json").write_text(json.dumps(model.seen))

    model = Probe()
    with_dataloader.train(manifest, dataset, model, EPOCHS, workers=1)
    keep("dataloader", model)

    model = Probe()
    state = keep_going(manifest, dataset, model, {}, stop=STOP)
    keep("stopped", model)
    (output / f"state-{rank}.json").write_text(json.dumps(state))

    model = Probe()
    keep_going(manifest, dataset, model, json.loads((output / "state-of-one.json").read_text()))
    keep("resumed", model)

    model = Probe()
    for stop in (2, 2, None):
        with_accelerate.train(manifest, dataset, model, output / "accelerate", EPOCHS, 0, stop)
    keep("accelerate", model)

    model = ProbeWithHead()
    grab = grab_accelerate.train(manifest, dataset, model, model.head, EPOCHS)
    keep("grab-accelerate", model)
    (output / f"grab-accelerate-state-{rank}.txt").write_text(grab._server.digest())

    model = Probe()
    with_trainer.train(
        manifest, dataset, model, output / "trainer", EPOCHS, save_strategy="steps", save_steps=1
    )
    keep("trainer", model)

    model = Probe()
    resume = output / "trainer" / "checkpoint-4"
    with_trainer.train(manifest, dataset, model, output / "again", EPOCHS, resume)
    keep("trainer-resumed", model)

    AcceleratorState._reset_state(reset_partial_state=True)  # what follows is not accelerate's
    model = Probe()
    with_lightning.train(manifest, dataset, model, EPOCHS, devices=2, strategy="ddp")
    keep("lightning", model)

    model = ProbeWithHead()
    grab = grab_lightning.train(manifest, dataset, model, model.head, EPOCHS, devices=2, strategy="ddp")
    keep("grab-lightning", model)
    (output / f"grab-lightning-state-{rank}.txt").write_text(grab._server.digest())
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    import grab_accelerate
    import grab_lightning
    import with_accelerate
    import with_dataloader
    import with_lightning
    import with_trainer

    launch(lambda: main(Manifest.open(sys.argv[1]), Path(sys.argv[2])))
