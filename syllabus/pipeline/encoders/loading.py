"""Encoders from options: what a worker builds one from, and one a thread that shares the weights."""

from __future__ import annotations

import os
import threading

from syllabus.pipeline.encoders.base import Encoder, EncoderSpec
from syllabus.pipeline.encoders.factories import check_module
from syllabus.pipeline.encoders.model_loading import check_model
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import Options
from syllabus.pipeline.sources import Columns, Source

_loaded: dict[EncoderSpec, Encoder] = {}
_lock = threading.Lock()
_of_thread = threading.local()


def spec_of(options: Options, source: Source, columns: Columns) -> EncoderSpec:
    """Return what a worker needs to build the encoder that `options` ask for."""
    dimension, name = 0, options.encoder or options.content
    if options.content_kind == "embedding":
        kind = "column"
        dimension = source.dimension(columns)
        if dimension == 0:
            raise UserError(f"{source.store.url()}: column {columns.content!r} holds no vectors")
    elif name == "hashing":
        kind = "hashing"
        if options.content_kind != "text":
            raise UserError(f"encoder='hashing' is for text; image={options.image!r} needs a model")
    elif ":" in name and "/" not in name:
        kind = "module"
    else:
        kind = "sentence-transformers"
    if options.long_texts == "chunks" and kind != "sentence-transformers":
        raise UserError(
            f"long_texts='chunks': is of no use with encoder={name!r}, whose limit is not known; models of"
            " sentence-transformers have one"
        )
    return EncoderSpec(
        kind,
        name,
        options.content_kind,
        options.dtype,
        options.device,
        options.batch_size,
        options.threads_per_worker,
        dimension,
        max_image_pixels=columns.limits.max_image_pixels,
        long_texts=options.long_texts,
        directory=os.getcwd() if kind == "module" else None,  # noqa: PTH109 - a string
    )


def check_encoder(spec: EncoderSpec) -> None:
    """Refuse the name of a model or module that is not there; no library that takes seconds is imported."""
    if spec.kind == "sentence-transformers":
        check_model(spec.name)
    elif spec.kind == "module":
        check_module(spec.name, spec.directory)


def build(spec: EncoderSpec) -> Encoder:
    """Build an encoder; each kind's libraries are imported only here, since they cost seconds."""
    if spec.kind == "column":
        from syllabus.pipeline.encoders.column import ColumnEncoder

        return ColumnEncoder(spec)
    if spec.kind == "hashing":
        from syllabus.pipeline.encoders.hashing import HashingEncoder

        return HashingEncoder(spec)
    if spec.kind == "module":
        from syllabus.pipeline.encoders.module import ModuleEncoder

        return ModuleEncoder(spec)
    from syllabus.pipeline.encoders.sentence_transformer import SentenceEncoder

    return SentenceEncoder(spec)


def encoder_of(spec: EncoderSpec) -> Encoder:
    """Return this thread's encoder for `spec`: weights are loaded once a process, and shared."""
    held: dict[EncoderSpec, Encoder] = _of_thread.__dict__.setdefault("encoders", {})
    if spec not in held:
        with _lock:
            if spec not in _loaded:
                # One model a process: another job's model makes room.
                _loaded.clear()
                _loaded[spec] = build(spec)
                held[spec] = _loaded[spec]
            else:
                held[spec] = _loaded[spec].clone_for_thread()
    return held[spec]
