"""A cache of model identities: one that was met before need not be loaded.

Importing the model libraries and loading a model take about ten seconds, and a rerun that finds every shard
encodes nothing. A directory's identity follows from its files, from what is asked of it, and from the
versions of the libraries that read it; so it is noted in the work directory under a digest of all of these.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path

from syllabus.manifests.storage import Store, sha256_of
from syllabus.pipeline.encoders.base import EncoderSpec, Identity
from syllabus.pipeline.encoders.images import DECODING
from syllabus.pipeline.encoders.loading import encoder_of
from syllabus.pipeline.runtime.torch_setup import pick_device, torch_dtype
from syllabus.pipeline.work_directory import WorkDirectory

LIBRARIES = ("sentence-transformers", "transformers", "tokenizers", "torch")


def identify(spec: EncoderSpec, work: WorkDirectory) -> tuple[EncoderSpec, Identity]:
    """Return the identity of an encoder: as noted for a model in a directory, else by loading it.

    The spec comes back with the digest of such a directory's files: a model that is written anew under its
    name is loaded anew. Cost where it is noted: one read of the model's files.
    """
    if spec.kind != "sentence-transformers" or not Path(spec.name).is_dir():
        return spec, encoder_of(spec).identity()
    device = pick_device(spec.device)
    torch_dtype(spec.dtype, device)  # what would be refused stays refused
    key = _key(spec, device.split(":")[0])
    spec = replace(spec, files=key)
    if work.has("identity", key, ".json"):
        noted = Identity(**work.read_json("identity", key))
        return spec, replace(noted, name=Path(spec.name).name)
    identity = encoder_of(spec).identity()
    work.write_json("identity", key, asdict(identity))
    return spec, identity


def _key(spec: EncoderSpec, device: str) -> str:
    store = Store(spec.name)
    files = {path: sha256_of(store, path) for path in sorted(store.files())}
    versions = {name: metadata.version(name) for name in LIBRARIES}
    # What notes hold, as a number: an older one says nothing of the limit, or has no digest of its own.
    asked = [spec.content, spec.dtype, spec.batch_size, device, 3, DECODING]
    if spec.long_texts != "truncate":
        asked.append(spec.long_texts)
    document = json.dumps([files, versions, asked], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()[:40]
