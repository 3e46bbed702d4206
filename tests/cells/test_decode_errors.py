"""decode on what is no sound image: always a typed error that names the file, never another exception."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from leukoscope.cells.decode import Limits, decode
from leukoscope.errors import (
    EmptyImageError,
    ImageError,
    ImageFormatError,
    ImageNotFoundError,
    ImageTooLargeError,
    TruncatedImageError,
)

patient = settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_no_such_file(tmp_path: Path):
    with pytest.raises(ImageNotFoundError, match="no such file") as caught:
        decode(tmp_path / "gone.bmp")
    assert caught.value.path == tmp_path / "gone.bmp"


def test_a_folder(tmp_path: Path):
    with pytest.raises(ImageFormatError, match="folder"):
        decode(tmp_path)


def test_a_name_with_a_zero_byte():
    with pytest.raises(ImageError):
        decode("cell\0.bmp")


@pytest.mark.parametrize("suffix", [".bmp", ".png", ".jpg", ".tif", ".webp"])
def test_empty(tmp_path: Path, suffix: str):
    path = tmp_path / f"empty{suffix}"
    path.touch()
    with pytest.raises(EmptyImageError, match="zero bytes") as caught:
        decode(path)
    assert str(path) in str(caught.value)
    with pytest.raises(EmptyImageError):
        decode(b"")


def test_text_called_bmp(tmp_path: Path):
    path = tmp_path / "notes.bmp"
    path.write_text("These are notes.")
    with pytest.raises(ImageFormatError, match=r"expected BMP, found text beginning 'These are notes\.'"):
        decode(path)


def test_another_format_than_the_name_says(tmp_path: Path, kinds: dict[str, bytes]):
    path = tmp_path / "cell.bmp"
    path.write_bytes(kinds["png"])
    with pytest.raises(ImageFormatError, match="the name says BMP, the content is PNG") as caught:
        decode(path)
    assert ".png" in caught.value.hint
    assert decode(kinds["png"], name="cell.PNG").shape == (41, 37, 3)
    assert decode(kinds["png"], name="cell.of-unknown-ending").shape == (41, 37, 3)


def test_a_format_that_is_not_read():
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "GIF")
    with pytest.raises(ImageFormatError, match=r"expected an image .*BMP"):
        decode(buffer.getvalue())


def test_a_sound_file_that_only_begins_like_webp():
    with pytest.raises(ImageFormatError):
        decode(b"RIFF\x04\0\0\0WAVEfmt ")


def test_samples_of_32_bits():
    buffer = io.BytesIO()
    Image.fromarray(np.ones((4, 4), np.float32)).save(buffer, "TIFF")
    with pytest.raises(ImageFormatError, match="1 to 16 bits, found float32"):
        decode(buffer.getvalue(), name="map.tif")


def test_the_name_given_is_the_name_reported(kinds: dict[str, bytes]):
    with pytest.raises(TruncatedImageError) as caught:
        decode(kinds["png"][:-20], name="archive.zip/fold_0/cell.png")
    assert caught.value.path == Path("archive.zip/fold_0/cell.png")
    assert str(caught.value).startswith("archive.zip/fold_0/cell.png: ")


def test_too_many_bytes(tmp_path: Path, kinds: dict[str, bytes]):
    path = tmp_path / "cell.bmp"
    path.write_bytes(kinds["bmp"])
    for source in (path, kinds["bmp"]):
        with pytest.raises(ImageTooLargeError, match="at most 1,000 bytes"):
            decode(source, limits=Limits(max_bytes=1_000))


def test_a_huge_file_is_not_read(tmp_path: Path):
    path = tmp_path / "huge.bmp"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ImageTooLargeError):
        decode(path)


def test_too_many_pixels_in_every_format(kinds: dict[str, bytes]):
    for name, data in kinds.items():
        with pytest.raises(ImageTooLargeError, match="at most 1,516 pixels"):
            decode(data, name=name, limits=Limits(max_pixels=41 * 37 - 1))


def bombs() -> dict[str, bytes]:
    """Small files whose headers promise billions of pixels."""
    side = 50_000

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    bmp = (
        b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 999, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
        + bytes(99)
    )
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    jpeg = bytearray(buffer.getvalue())
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "TIFF")
    tiff = bytearray(buffer.getvalue())
    directory = int.from_bytes(tiff[4:8], "little")
    for entry in range(directory + 2, directory + 26, 12):  # the first two tags are width and height
        tiff[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, side)
    return {"bmp": bmp, "png": png, "jpeg": bytes(jpeg), "tiff": bytes(tiff)}


@pytest.mark.parametrize("name", bombs())
def test_limits_are_read_from_the_header(name: str):
    data = bombs()[name]
    assert len(data) < 20_000
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageTooLargeError, match="50000 x 50000"):
            decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def bmp_padding(bmp: bytes) -> int:
    """Bytes at the end of the last row that hold no pixel: rows are filled up to a multiple of four bytes."""
    width, bits = int.from_bytes(bmp[18:22], "little"), int.from_bytes(bmp[28:30], "little")
    return -((width * bits + 7) // 8) % 4


@patient
@given(data=st.data())
def test_every_truncation_is_an_image_error(data: st.DataObject, kinds: dict[str, bytes]):
    name = data.draw(st.sampled_from(sorted(kinds)))
    whole = kinds[name]
    kept = data.draw(st.integers(0, len(whole) - 1))
    # no pixel is lost with these
    assume(name not in ("bmp-palette", "bmp-1-bit") or len(whole) - kept > bmp_padding(whole))
    with pytest.raises(ImageError) as caught:
        decode(whole[:kept], name=name)
    assert str(caught.value).startswith(f"{name}: ")
    assert caught.value.reason


@st.composite
def damages(draw: st.DrawFn, size: int) -> list[tuple[int, bytes, int]]:
    """Edits of a file: at a place, bytes put in, and how many are taken out."""
    places = st.one_of(st.integers(0, size - 1), st.integers(0, min(size, 120) - 1))
    edits = st.tuples(places, st.binary(max_size=4), st.integers(0, 4))
    return draw(st.lists(edits, min_size=1, max_size=8))


@patient
@given(data=st.data())
def test_any_damage_gives_an_image_or_an_image_error(
    data: st.DataObject, kinds: dict[str, bytes], capfd: pytest.CaptureFixture[str]
):
    name = data.draw(st.sampled_from(sorted(kinds)))
    damaged = bytearray(kinds[name])
    for place, put_in, taken_out in data.draw(damages(len(damaged))):
        damaged[place : place + taken_out] = put_in
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            image = decode(bytes(damaged), limits=Limits(max_pixels=10_000_000))
        except ImageError:
            pass
        else:
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    said = capfd.readouterr().err
    assert not said or name.startswith("tiff")  # libtiff speaks up by itself, from C


@patient
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"BM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0"])
)
def test_rubbish_is_an_image_error(rubbish: bytes, beginning: bytes):
    with pytest.raises(ImageError):
        decode(beginning + rubbish)


def test_one_altered_byte_of_a_png_is_noticed(picture: np.ndarray):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=0)
    data = bytearray(buffer.getvalue())
    data[data.index(b"IDAT") + 1_000] ^= 1
    with pytest.raises(TruncatedImageError, match="damaged"):
        decode(bytes(data))


def test_a_preview_does_not_hide_a_truncated_jpeg(kinds: dict[str, bytes]):
    whole = kinds["jpeg"]
    preview = b"Exif\0\0" + whole
    data = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview + whole[2:]
    assert np.array_equal(decode(data), decode(whole))
    for num_lost in (1, 2, 3, 10, 100):
        with pytest.raises(TruncatedImageError, match="too early"):
            decode(data[:-num_lost])


def test_damaged_tags_leave_the_warning_filters_as_they_were(kinds: dict[str, bytes]):
    before = list(warnings.filters)
    damaged = [kinds["tiff-deflate"], kinds["jpeg-exif"]] * 50
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, damaged))
    assert list(warnings.filters) == before
