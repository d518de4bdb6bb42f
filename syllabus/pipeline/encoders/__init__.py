"""Encoders: from an example's content to its vector."""

from syllabus.pipeline.encoders.base import Encoder, EncoderSpec, Identity
from syllabus.pipeline.encoders.loading import build, check_encoder, encoder_of, spec_of

__all__ = ["Encoder", "EncoderSpec", "Identity", "build", "check_encoder", "encoder_of", "spec_of"]
