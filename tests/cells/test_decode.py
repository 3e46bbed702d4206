"""decode: the same pixels as those that went into the file, whatever the format and colour mode."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from leukoscope.cells.decode import IMAGE_SUFFIXES, Limits, decode

RGB = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))
LOSSLESS = {"BMP": {}, "PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}


def saved(image: Image.Image | np.ndarray, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", LOSSLESS)
@given(pixels=RGB)
def test_lossless_formats_give_the_pixels_back(form: str, pixels: np.ndarray):
    image = decode(saved(pixels, form, **LOSSLESS[form]))
    assert np.array_equal(image, pixels)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable


def test_every_kind_gives_the_contract(kinds: dict[str, bytes]):
    for name, data in kinds.items():
        image = decode(data)
        expected = (37, 41, 3) if name.endswith("exif") else (41, 37, 3)
        assert (image.shape, image.dtype) == (expected, np.uint8), name
        assert image.flags.c_contiguous and image.flags.writeable, name


@pytest.mark.parametrize("header", [40, 108, 124], ids=["v3", "v4", "v5"])
@pytest.mark.parametrize("top_down", [False, True])
def test_bmp_headers_and_row_orders(picture: np.ndarray, header: int, top_down: bool):
    height, width = picture.shape[:2]
    rows = np.zeros((height, (3 * width + 3) // 4 * 4), np.uint8)
    rows[:, : 3 * width] = picture[:, :, ::-1].reshape(height, -1)
    info = struct.pack(
        "<IiiHHIIiiII", header, width, -height if top_down else height, 1, 24, 0, 0, 0, 0, 0, 0
    )
    body = info.ljust(header, b"\0") + (rows if top_down else rows[::-1]).tobytes()
    data = b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + header) + body
    assert np.array_equal(decode(data), picture)


def test_bmp_is_what_opencv_reads(tmp_path: Path, cell: Callable[..., np.ndarray]):
    path = tmp_path / "cell.bmp"
    cv2.imwrite(str(path), cell())
    assert np.array_equal(decode(path), cv2.imread(str(path))[:, :, ::-1])


@pytest.mark.parametrize("form", ["BMP", "PNG", "TIFF"])
def test_grey_is_repeated(picture: np.ndarray, form: str):
    grey = picture[:, :, 1]
    assert np.array_equal(decode(saved(grey, form)), np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize("form", ["BMP", "PNG", "TIFF"])
def test_one_bit_is_black_and_white(picture: np.ndarray, form: str):
    bits = picture[:, :, 1] > 127
    expected = np.repeat(bits[:, :, None], 3, axis=2) * 255
    assert np.array_equal(decode(saved(Image.fromarray(bits), form)), expected)


@pytest.mark.parametrize("form", ["BMP", "PNG", "TIFF"])
def test_palettes_are_looked_up(picture: np.ndarray, form: str):
    image = Image.fromarray(picture).quantize(16)
    colours = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    assert np.array_equal(decode(saved(image, form)), colours[np.asarray(image)])


def test_a_transparent_palette_entry_is_black(picture: np.ndarray):
    image = Image.fromarray(picture).quantize(16)
    expected = np.array(image.getpalette(), np.uint8).reshape(-1, 3)[np.asarray(image)]
    expected[np.asarray(image) == 3] = 0
    assert np.array_equal(decode(saved(image, "PNG", transparency=3)), expected)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_laid_over_black(picture: np.ndarray, form: str):
    alpha = np.tile(np.linspace(0, 255, 37).astype(np.uint8), (41, 1))
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    image = decode(saved(np.dstack([picture, alpha]), form, **options))
    assert np.abs(image - picture * (alpha[:, :, None] / 255)).max() <= 1


def test_grey_with_alpha_is_laid_over_black(picture: np.ndarray):
    alpha = np.tile(np.linspace(0, 255, 37).astype(np.uint8), (41, 1))
    layers = Image.fromarray(np.dstack([picture[:, :, 0], alpha]))
    assert layers.mode == "LA"
    expected = picture[:, :, :1] * (alpha[:, :, None] / 255)
    assert np.abs(decode(saved(layers, "PNG")) - expected).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_sixteen_bits_are_scaled_not_clipped(picture: np.ndarray, suffix: str, num_channels: int):
    samples = np.random.default_rng(1).integers(0, 2**16, (41, 37, num_channels)).astype(np.uint16)
    samples[0, 0], samples[0, 1] = 0, 0xFFFF
    image = decode(cv2.imencode(suffix, samples[:, :, ::-1])[1].tobytes())
    assert np.abs(image - samples / 257).max() <= 1
    assert (image[0, 0] == 0).all() and (image[0, 1] == 255).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_eight_bits_widened_to_sixteen_come_back(picture: np.ndarray, suffix: str):
    wide = picture[:, :, ::-1].astype(np.uint16) * 257
    assert np.array_equal(decode(cv2.imencode(suffix, wide)[1].tobytes()), picture)


def test_big_endian_sixteen_bit_tiff(picture: np.ndarray):
    grey = picture[:, :, 0].astype(">u2") * 257
    rows = grey.tobytes()
    tags = [(256, 3, 37 << 16), (257, 3, 41 << 16), (258, 3, 16 << 16), (259, 3, 1 << 16), (262, 3, 1 << 16)]
    tags += [(273, 4, 8), (277, 3, 1 << 16), (278, 3, 41 << 16), (279, 4, len(rows))]
    entries = b"".join(struct.pack(">HHII", tag, kind, 1, value) for tag, kind, value in tags)
    data = (
        b"MM\0*"
        + struct.pack(">I", 8 + len(rows))
        + rows
        + struct.pack(">H", len(tags))
        + entries
        + b"\0" * 4
    )
    assert np.array_equal(decode(data)[:, :, 0], picture[:, :, 0])


def test_cmyk(picture: np.ndarray):
    inks = np.asarray(Image.fromarray(picture).convert("CMYK")).astype(float)
    expected = (255 - inks[:, :, :3]) * (255 - inks[:, :, 3:]) / 255
    assert np.abs(decode(saved(Image.fromarray(picture).convert("CMYK"), "TIFF")) - expected).max() <= 2


TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(
    ("form", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})],
)
def test_exif_orientation_is_applied_once(picture: np.ndarray, form: str, options: dict, orientation: int):
    tags = Image.Exif()
    tags[0x0112] = orientation
    assert np.array_equal(decode(saved(picture, form, exif=tags, **options)), TURNS[orientation](picture))


def test_exif_orientation_of_a_jpeg(picture: np.ndarray):
    tags = Image.Exif()
    tags[0x0112] = 8
    assert np.array_equal(decode(saved(picture, "JPEG", exif=tags)), np.rot90(decode(saved(picture, "JPEG"))))


@pytest.mark.parametrize("form", ["TIFF", "WEBP"])
def test_the_first_page_counts(picture: np.ndarray, form: str):
    pages = {"save_all": True, "append_images": [Image.fromarray(255 - picture)], **LOSSLESS[form]}
    assert np.array_equal(decode(saved(picture, form, **pages)), picture)


def test_jpeg_is_what_opencv_reads(cell: Callable[..., np.ndarray]):
    data = cv2.imencode(".jpg", cell())[1]
    expected = cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1].astype(int)
    assert np.abs(decode(data.tobytes()) - expected).max() <= 2


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_a_path_with_each_ending(tmp_path: Path, picture: np.ndarray, suffix: str):
    path = tmp_path / f"Zelle é{suffix.upper()}"
    Image.fromarray(picture).save(path)
    assert np.array_equal(decode(path), decode(str(path)))
    assert np.array_equal(decode(path), decode(path.read_bytes()))


def test_limits_stop_nothing_at_the_limit(picture: np.ndarray):
    data = saved(picture, "BMP")
    exact = Limits(max_bytes=len(data), max_pixels=41 * 37)
    assert np.array_equal(decode(data, limits=exact), picture)


@pytest.mark.real
def test_every_real_cell_is_what_opencv_reads(real_data: Path):
    paths = sorted(path for path in real_data.rglob("*") if path.suffix in (".bmp", ".webp"))
    assert paths
    for path in paths:
        assert np.array_equal(decode(path), cv2.imread(str(path))[:, :, ::-1]), path
