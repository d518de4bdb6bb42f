"""Fashion-MNIST as an image folder: data/train/CLASS/00017.png, the first images of the training set.

apt-get install dataset-fashion-mnist      # Debian's package of the data set
python examples/fashion_mnist/build.py [COUNT]
"""

import argparse
import gzip
import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
PACKAGED = Path("/usr/share/datasets/fashion-mnist")
CLASSES = "t-shirt trouser pullover dress coat sandal shirt sneaker bag boot".split()


def idx(path: Path) -> np.ndarray:
    """Read a file in idx format: 4 bytes of type and rank, the shape big-endian, the bytes."""
    raw = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(raw[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("count", type=int, nargs="?", default=10_000, help="images, 10,000 by default")
    count = parser.parse_args().count
    if not PACKAGED.is_dir():
        sys.exit(f"{PACKAGED} is not there: apt-get install dataset-fashion-mnist")
    images = idx(PACKAGED / "train-images-idx3-ubyte.gz")[:count]
    labels = idx(PACKAGED / "train-labels-idx1-ubyte.gz")[:count]
    for name in CLASSES:
        (HERE / "data" / "train" / name).mkdir(parents=True, exist_ok=True)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(image).save(HERE / "data" / "train" / CLASSES[label] / f"{number:05d}.png")
    print(f"{len(images):,} images of {len(CLASSES)} classes in {HERE / 'data' / 'train'}")


if __name__ == "__main__":
    main()
