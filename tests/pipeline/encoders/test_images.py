"""Images as RGB pixels: every mode of Pillow keeps its differences or is refused by its name."""

import io

import numpy as np
import pytest
from PIL import Image

from syllabus.pipeline.encoders.base import with_decoding
from syllabus.pipeline.encoders.images import EncodedImage, UnreadableImage, decode, to_rgb

ORIENTATION = 0x0112
SIZE = (16, 12)


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(colour, size=(5, 6), mode="RGB", kind="PNG"):
    return saved(Image.new(mode, size, colour), kind)


def drawn(mode, seed):
    """An image of random content in one of Pillow's modes."""
    draw = np.random.default_rng(seed)
    if mode == "F":
        return Image.fromarray(draw.random(SIZE[::-1]).astype(np.float32))
    if mode == "I":
        return Image.fromarray(draw.integers(0, 65_536, SIZE[::-1], dtype=np.int32))
    if mode in ("1", "P", "PA"):
        plain = Image.fromarray(draw.integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8))
        return plain.convert("P").convert(mode) if mode == "PA" else plain.convert(mode)
    bands = {"L": 1, "LA": 2, "La": 2, "RGBA": 4, "RGBa": 4, "RGBX": 4, "CMYK": 4}.get(mode, 3)
    width = 2 if mode.startswith("I;16") else bands
    return Image.frombytes(mode, SIZE, draw.bytes(width * SIZE[0] * SIZE[1]))


@pytest.mark.parametrize("mode", Image.MODES)
def test_two_images_of_a_mode_stay_two(mode):
    for seed in (0, 2):
        first, second = drawn(mode, seed), drawn(mode, seed + 1)
        assert first.mode == second.mode == mode
        pixels = [np.asarray(to_rgb(each), int) for each in (first, second)]
        assert all(each.shape == (*SIZE[::-1], 3) for each in pixels)
        # Everywhere, not in some pixels alone (of LAB, most random values are no visible colour).
        assert (pixels[0] != pixels[1]).any(axis=2).mean() > 0.4


@pytest.mark.parametrize("mode", [mode for mode in Image.MODES if mode.startswith("I;16")])
def test_16_bits_become_8_over_their_whole_range(mode):
    values = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    order = ">u2" if mode == "I;16B" else "<u2"
    image = Image.frombytes(mode, (16, 16), values.astype(order).tobytes())
    np.testing.assert_array_equal(np.asarray(to_rgb(image))[:, :, 1].ravel(), np.arange(256))


def test_16_bits_are_read_alike_from_every_format():
    values = np.random.default_rng(0).integers(0, 200, (9, 9)).astype(np.uint16) * 300
    images = [saved(Image.fromarray(values), kind) for kind in ("PNG", "TIFF", "PPM")]
    assert {np.asarray(decode(data)).tobytes() for data in images} == {
        np.repeat((values.astype(int) + 128) // 257, 3).astype(np.uint8).tobytes()
    }


@pytest.mark.parametrize(
    ("values", "shades"),
    [
        (np.float32([0, 0.5, 1]), [0, 128, 255]),
        (np.float32([0, 2, 255]), [0, 2, 255]),
        (np.float32([0, 257, 65_535]), [0, 1, 255]),
        (np.int32([0, 1, 255]), [0, 1, 255]),
        (np.int32([0, 257, 65_535]), [0, 1, 255]),
    ],
)
def test_numbers_without_a_range_take_the_first_that_holds_them(values, shades):
    image = decode(saved(Image.fromarray(values[None]), "TIFF"))
    assert np.asarray(image)[0, :, 0].tolist() == shades


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (np.float32([-1, 1]), "mode F: its values are -1 to 1; expected 0 to 1 or 0 to 255 or 0 to 65,535"),
        (np.float32([0, np.nan]), "mode F: its values are nan to nan"),
        (np.int32([0, 70_000]), "mode I: its values are 0 to 70000; expected 0 to 255 or 0 to 65,535"),
    ],
)
def test_numbers_beyond_are_a_reject_with_the_mode_in_its_reason(values, line):
    data, found = saved(Image.fromarray(values[None]), "TIFF"), []
    with pytest.raises(UnreadableImage, match=line):
        decode(data)
    assert EncodedImage(data, 7, lambda *reject: found.append(reject)).open() is None
    [(row, reason, detail)] = found
    assert (row, reason) == (7, f"unreadable image of mode {line[5]}")
    assert line in detail


def test_what_is_transparent_is_white():
    shades = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    black = np.zeros_like(shades)
    drawing = Image.fromarray(np.dstack([black, black, black, shades]), "RGBA")
    for image in (drawing, drawing.convert("LA")):
        np.testing.assert_array_equal(np.asarray(decode(saved(image)))[:, :, 2], 255 - shades)
    # A palette with a transparent colour, a grey and a 16-bit one.
    palette = Image.fromarray(np.uint8([[0, 1], [2, 0]]), "P")
    palette.putpalette([9, 9, 9, 50, 60, 70, 5, 5, 5])
    assert np.asarray(decode(saved(palette, transparency=0)))[:, :, 0].tolist() == [[255, 50], [5, 255]]
    grey = Image.fromarray(np.uint8([[7, 8]]))
    assert np.asarray(decode(saved(grey, transparency=7)))[0, :, 0].tolist() == [255, 8]
    deep = Image.fromarray(np.uint16([[257, 514]]))
    assert np.asarray(decode(saved(deep, transparency=257)))[0, :, 0].tolist() == [255, 2]


def test_white_on_nothing_is_seen_on_black():
    shades = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    white = np.full_like(shades, 255)
    image = Image.fromarray(np.dstack([white, white, white, shades]), "RGBA")
    np.testing.assert_array_equal(np.asarray(decode(saved(image)))[:, :, 0], shades)
    assert np.asarray(decode(png((255, 255, 255, 255), mode="RGBA"))).min() == 255
    assert np.asarray(decode(png((1, 2, 3, 0), mode="RGBA"))).min() == 255


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_images_are_turned_upright(kind):
    flip = Image.Transpose
    stored = {
        1: [], 2: [flip.FLIP_LEFT_RIGHT], 3: [flip.ROTATE_180], 4: [flip.FLIP_TOP_BOTTOM],
        5: [flip.TRANSPOSE], 6: [flip.ROTATE_90], 7: [flip.TRANSVERSE], 8: [flip.ROTATE_270],
    }  # fmt: skip
    shades = np.add.outer(np.arange(8) * 20, np.arange(16) * 5).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    upright = Image.fromarray(shades).convert("RGB")
    for number, turns in stored.items():
        image = upright
        for turn in turns:
            image = image.transpose(turn)
        exif = Image.Exif()
        exif[ORIENTATION] = number
        found = decode(saved(image, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {})))
        assert found.size == upright.size
        assert np.abs(np.asarray(found, int) - np.asarray(upright, int)).max() <= 8


@pytest.mark.parametrize("exif", [b"no EXIF", b"Exif\0\0MM\0*\0\0\xff\xff", b"II*\0\x08\0\0\0\xff\xff"])
def test_broken_metadata_costs_no_image(exif):
    assert decode(saved(Image.new("RGB", (5, 6), (9, 8, 7)), "JPEG", exif=exif)).size == (5, 6)
    wrong = Image.Exif()
    wrong[ORIENTATION] = 77
    assert decode(saved(Image.new("RGB", (5, 6)), exif=wrong)).size == (5, 6)


def test_the_first_frame_is_taken():
    frames = [Image.new("L", (4, 4), shade) for shade in (40, 200)]
    for kind in ("GIF", "TIFF", "PNG"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert np.asarray(decode(data)).max() == 40


def test_the_decoding_is_part_of_the_identity_of_images_alone(factories):
    from syllabus.pipeline.encoders import build

    assert with_decoding("digest", "text") == "digest"
    assert with_decoding(None, "image") is not None
    source = build(factories("text")).identity().preprocessing_sha256
    images = build(factories("image", content="image")).identity()
    assert images.preprocessing_sha256 == with_decoding(source, "image") != source


def test_images_of_all_kinds_decode():
    for mode, colour in (
        ("RGB", (1, 2, 3)),
        ("L", 9),
        ("RGBA", (1, 2, 3, 4)),
        ("1", 1),
        ("CMYK", (1, 2, 3, 4)),
    ):
        for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
            if (mode, kind) in (("RGBA", "JPEG"), ("CMYK", "PNG"), ("CMYK", "WEBP")):
                continue
            image = decode(png(colour, mode=mode, kind=kind))
            assert (image.mode, image.size) == ("RGB", (5, 6))
    whole = png((1, 2, 3), (50, 50))
    for cut in range(0, len(whole) // 2, 7):
        with pytest.raises(UnreadableImage):
            decode(whole[:cut])


def test_a_picture_too_large_to_decode_is_unreadable(monkeypatch):

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UnreadableImage, match="exceeds limit of 20 pixels"):
        decode(png((1, 2, 3), (50, 50)))
