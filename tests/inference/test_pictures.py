"""A picture in Pillow is the cell that its file is."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from leukoscope.cells.decode import decode
from leukoscope.cells.limits import Limits
from leukoscope.cells.pictures import picture_pixels
from leukoscope.errors import ImageFormatError, ImageTooLargeError, TruncatedImageError
from leukoscope.inference.predictor import load

SIDE = 24


def colours() -> np.ndarray:
    """Noise with a black border: uint8 (24, 20, 3), so that a turn shows."""
    image = np.random.default_rng(5).integers(0, 256, (SIDE, 20, 3), dtype=np.uint8)
    image[:3] = 0
    return image


def with_alpha() -> Image.Image:
    alpha = np.random.default_rng(6).integers(0, 256, (SIDE, 20), dtype=np.uint8)
    picture = Image.fromarray(colours())
    picture.putalpha(Image.fromarray(alpha))
    return picture


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def transparent_palette() -> Image.Image:
    return Image.fromarray(colours()).quantize(16)


grey16 = (np.random.default_rng(7).integers(0, 65536, (SIDE, 20))).astype(np.uint16)

PICTURES = {
    "RGB.bmp": (Image.fromarray(colours()), {}),
    "RGB.png": (Image.fromarray(colours()), {}),
    "RGB.jpg": (Image.fromarray(colours()), {"quality": 80}),
    "RGB.webp": (Image.fromarray(colours()), {"quality": 80}),
    "L.png": (Image.fromarray(colours()[..., 0]), {}),
    "1.png": (Image.fromarray(colours()[..., 0]).convert("1"), {}),
    "P.png": (transparent_palette(), {}),
    "P-transparent.png": (transparent_palette(), {"transparency": 3}),
    "RGB-transparent.png": (Image.fromarray(colours()), {"transparency": (0, 0, 0)}),
    "LA.png": (with_alpha().convert("LA"), {}),
    "RGBA.png": (with_alpha(), {}),
    "RGBA.tif": (with_alpha(), {}),
    "RGBA.webp": (with_alpha(), {"lossless": True}),
    "CMYK.jpg": (Image.fromarray(colours()).convert("CMYK"), {}),
    "CMYK.tif": (Image.fromarray(colours()).convert("CMYK"), {}),
    "YCbCr.tif": (Image.fromarray(colours()).convert("YCbCr"), {}),
    "I;16.png": (Image.fromarray(grey16), {}),
    "I;16.tif": (Image.fromarray(grey16), {}),
    **{
        f"turned-{turn}.{ending}": (Image.fromarray(colours()), {"exif": oriented(turn)})
        for turn in range(1, 9)
        for ending in ("jpg", "png", "tif", "webp")
    },
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for name, (picture, options) in PICTURES.items():
        picture.save(folder / name, **options)
    return {name: folder / name for name in PICTURES}


@pytest.mark.parametrize("name", PICTURES)
def test_an_opened_file_has_the_pixels_of_the_file(saved, name):
    expected = decode(saved[name])
    with Image.open(saved[name]) as picture:
        found = picture_pixels(picture, "it")
        assert found.dtype == np.uint8 and found.flags.writeable
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(picture_pixels(picture, "it"), expected)
        if not name.endswith(".tif"):  # a copy of a TIFF has lost its tags
            np.testing.assert_array_equal(picture_pixels(picture.copy(), "it"), expected)
    if "turned" in name:
        upright = ImageOps.exif_transpose(Image.open(saved[name]))
        np.testing.assert_array_equal(picture_pixels(upright, "it"), expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "RGBX", "CMYK", "YCbCr", "HSV", "RGBa"])
def test_a_picture_made_in_memory_has_the_pixels_of_its_file(mode):
    picture = with_alpha().convert(mode) if mode in ("RGBA", "LA", "RGBa") else None
    picture = picture or Image.fromarray(colours()).convert(mode)
    stream = io.BytesIO()
    storable = {"RGBa": "RGBA", "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB"}.get(mode, mode)
    picture.convert(storable).save(stream, "PNG")
    np.testing.assert_array_equal(picture_pixels(picture, "it"), decode(stream.getvalue()))


def test_samples_beyond_16_bits_are_refused_as_in_files(tmp_path):
    floats = Image.fromarray(np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20))
    floats.save(tmp_path / "f.tif")
    for read in (lambda: decode(tmp_path / "f.tif"), lambda: picture_pixels(floats, "it")):
        with pytest.raises(ImageFormatError, match="1 to 16 bits"):
            read()
    np.testing.assert_array_equal(
        picture_pixels(Image.fromarray(grey16), "it")[..., 0], (grey16 >> 8).astype(np.uint8)
    )


def test_what_cannot_be_loaded_or_is_too_large_says_so(tmp_path):
    Image.fromarray(colours()).save(tmp_path / "c.png")
    data = (tmp_path / "c.png").read_bytes()
    with pytest.raises(TruncatedImageError):
        picture_pixels(Image.open(io.BytesIO(data[: len(data) // 2])), "it")
    closed = Image.open(tmp_path / "c.png")
    closed.close()
    with pytest.raises(TruncatedImageError):
        picture_pixels(closed, "it")
    with pytest.raises(ImageTooLargeError):
        picture_pixels(Image.new("RGB", (20, 20)), "it", Limits(max_pixels=399))


def test_one_lazily_opened_picture_named_many_times_is_read_once_and_right(
    tiny_bundle, tiny_cohort, tmp_path
):
    """Pillow reads it at its first use; eight threads ask for it at once."""
    from leukoscope.inference.predictor import Predictor

    file = sorted(tiny_cohort.rglob("*.bmp"))[0]
    Image.open(file).save(tmp_path / "c.png")
    predictor = Predictor(tiny_bundle, workers=8)
    for _ in range(5):
        found = predictor.predict([Image.open(tmp_path / "c.png")] * 40).frame
        assert found["error"].null_count() == 40
        assert found["blast_probability"].n_unique() == 1


def test_rows_of_mixed_kinds_come_in_order(tiny_bundle, tiny_cohort):
    files = sorted(tiny_cohort.rglob("*.bmp"))[:6]
    predictor = load(tiny_bundle)
    expected = predictor.predict(files).frame["blast_probability"].to_list()
    pixels = [decode(file) for file in files]
    mixed = [
        files[0],
        str(files[1]),
        files[2].read_bytes(),
        pixels[3],
        Image.fromarray(pixels[4]),
        Image.open(files[5]),
    ]
    found = predictor.predict(mixed).frame
    assert found["blast_probability"].to_list() == pytest.approx(expected, abs=1e-6)
    assert found["cell_id"].to_list()[2:] == ["image_2", "image_3", "image_4", "image_5"]
    assert predictor.predict(Image.open(files[5])).frame["blast_probability"][0] == pytest.approx(
        expected[5], abs=1e-6
    )
    bad = predictor.predict([files[0], Image.new("F", (9, 9)), pixels[1]]).frame
    assert bad["error"].is_null().to_list() == [True, False, True]
    assert "1 to 16 bits" in bad["error"][1]
