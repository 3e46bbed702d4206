"""Names, zips and images that are made to do harm; what is kept is pixels and nothing else."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from leukoscope.cells.decode import decode
from leukoscope.review.services.receiving import received
from leukoscope.review.services.uploads import UploadError, UploadLimits, members, plain_name, receive
from leukoscope.review.store.images import ImageStore

LIMITS = UploadLimits()
FORMATS = ("BMP", "PNG", "JPEG", "TIFF", "WEBP")
often = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "images")


def pixels(height: int = 24, width: int = 20) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def image(kind: str, **more) -> bytes:
    stream = io.BytesIO()
    lossless = {"lossless": True} if kind == "WEBP" else {}
    Picture.fromarray(pixels()).save(stream, kind, **lossless, **more)
    return stream.getvalue()


def zip_of(files, *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return stream.getvalue()


def unpack(data: bytes, **limits) -> list[tuple[str, bytes]]:
    return list(members(io.BytesIO(data), UploadLimits(**limits)))


def chunks(png: bytes) -> list[str]:
    """The kinds of chunks of a PNG, and ``"rest"`` where something stands behind the last."""
    kinds, start = [], 8
    while start < len(png):
        length = int.from_bytes(png[start : start + 4], "big")
        kinds.append(png[start + 4 : start + 8].decode("ascii", "replace"))
        start += 12 + length
        if kinds[-1] == "IEND":
            return kinds + ["rest"] * (start < len(png))
    return kinds


# Names


@often
@given(
    st.text(max_size=400)
    | st.lists(st.sampled_from(["..", ".", "a", "C:", "con", "\0", "\u202e", ""])).map("/".join)
)
def test_a_name_is_one_part_that_can_be_shown(name):
    shown = plain_name(name, LIMITS)
    assert 1 <= len(shown) <= LIMITS.max_name and shown.isprintable() and shown.strip(".")
    assert "/" not in shown and "\\" not in shown


@pytest.mark.parametrize(
    "name", ["..", "../..", "a/..", "..\\..\\x/..", "", "/", ".", "\u202e", "\x00", "   ", "\ud800"]
)
def test_what_is_no_name_is_called_unnamed(name):
    assert plain_name(name, LIMITS) == "unnamed"


# Images


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_kept_is_pixels_under_the_hash_of_its_own_file(store, kind):
    data = image(kind)
    got = receive(f"x.{kind.lower()}", data, store, LIMITS)
    kept = store.path(got.image.sha256).read_bytes()
    assert got.sha256 == hashlib.sha256(data).hexdigest() and got.num_bytes == len(data)
    assert got.image.sha256 == hashlib.sha256(kept).hexdigest()
    assert (store.pixels(got.image.sha256) == decode(data)).all()
    assert set(chunks(kept)) == {"IHDR", "IDAT", "IEND"}


def test_where_a_photograph_was_taken_is_not_kept(store):
    exif = Picture.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 14.0), 3: "E", 4: (11.0, 34.0, 31.0)})
    exif[0x010E], exif[0x9286] = "Anna Meier", "born 1970"
    data = image("JPEG", exif=exif)
    assert b"Anna Meier" in data and Picture.open(io.BytesIO(data)).getexif().get_ifd(0x8825)
    kept = store.path(receive("x.jpg", data, store, LIMITS).image.sha256).read_bytes()
    assert set(chunks(kept)) == {"IHDR", "IDAT", "IEND"} and b"Anna" not in kept
    assert not Picture.open(io.BytesIO(kept)).getexif()


def test_a_comment_in_a_png_is_not_kept(store):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Patient", "Anna Meier")
    data = image("PNG", pnginfo=info)
    assert b"Anna Meier" in data
    assert b"Anna" not in store.path(receive("x.png", data, store, LIMITS).image.sha256).read_bytes()


PAYLOAD = b"<html><script>alert(1)</script></html>"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("tail", [PAYLOAD, zip_of([("evil.html", PAYLOAD)])], ids=["html", "zip"])
def test_what_hangs_behind_an_image_is_not_kept(store, kind, tail):
    got = receive(f"x.{kind.lower()}", image(kind) + tail, store, LIMITS)
    assert got.image is None or tail not in store.path(got.image.sha256).read_bytes()
    if got.image is not None:
        assert (store.pixels(got.image.sha256) == decode(image(kind))).all()


DISGUISED = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "pdf": b"%PDF-1.7\n",
    "gif": b"GIF89a" + bytes(20),
    "zip": zip_of([("x.png", image("PNG"))]),
    "program": b"\x7fELF" + bytes(60),
    "nothing": b"",
    "bmp": image("BMP"),
}


@pytest.mark.parametrize("kind", DISGUISED)
def test_what_only_calls_itself_a_png_is_refused_in_words(store, tmp_path, kind):
    got = receive("x.png", DISGUISED[kind], store, LIMITS)
    assert got.image is None and got.reason and "\n" not in got.reason
    assert [path for path in (tmp_path / "images").rglob("*") if path.is_file()] == []


def png_of(width: int, height: int) -> bytes:
    """A small file whose header promises so many pixels, sound in every checksum."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def bmp_of(width: int, height: int) -> bytes:
    data = bytearray(image("BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def jpeg_of(width: int, height: int) -> bytes:
    data = bytearray(image("JPEG"))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(("make", "name"), [(png_of, "x.png"), (bmp_of, "x.bmp"), (jpeg_of, "x.jpg")])
def test_a_bomb_of_pixels_is_told_by_its_header(store, make, name):
    data = make(60_000, 60_000)
    got = receive(name, data, store, LIMITS)
    assert len(data) < 100_000 and got.image is None
    assert "the header says 60000 x 60000" in got.reason


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1)])
def test_sizes_that_cannot_be_are_refused(store, size):
    for name, make in (("x.png", png_of), ("x.bmp", bmp_of)):
        assert receive(name, make(*size), store, LIMITS).image is None


@pytest.mark.parametrize("kind", FORMATS)
@often
@given(part=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_refused_or_lost_nothing(store, kind, part):
    data = image(kind)
    got = receive(f"x.{kind.lower()}", data[: int(part * len(data))], store, LIMITS)
    assert got.reason if got.image is None else (store.pixels(got.image.sha256) == decode(data)).all()


@pytest.mark.parametrize("kind", FORMATS)
@often
@given(data=st.data())
def test_whatever_bytes_come_there_is_an_answer(store, kind, data):
    whole = bytearray(image(kind))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    got = receive(f"x.{kind.lower()}", bytes(whole), store, UploadLimits(max_pixels=1_000_000))
    assert (got.image is None) == bool(got.reason)


# Zips


@pytest.mark.parametrize(
    "name",
    [
        "../x.png",
        "a/../../x.png",
        "..\\x.png",
        "/x.png",
        "\\x.png",
        "a/b/c/d/e/f/g/h/i/x.png",
        "x" * 9000 + ".png",
    ],
)
def test_a_zip_names_no_place_outside_and_none_too_deep(name):
    with pytest.raises(UploadError, match=r"outside|too deep"):
        unpack(zip_of([("fine.png", image("PNG")), (name, b"x")]))


def test_a_zip_in_a_zip_is_not_unpacked(store):
    inner = zip_of([("x.png", image("PNG"))])
    outer = zip_of([("inner.zip", inner), ("inner.png", inner), ("fine.png", image("PNG"))])
    got = {one.name: one.reason for one in received("o.zip", io.BytesIO(outer), store, LIMITS)}
    assert got["fine.png"] is None and "expected PNG" in got["inner.png"] and len(got) == 2


def test_many_members_that_are_small_alone_are_counted_together():
    files = [(f"{number}.png", bytes(40_000)) for number in range(60)]
    data = zip_of(files)
    assert len(unpack(data, max_ratio=2000)) == 60
    with pytest.raises(UploadError, match="unpacks to more"):
        unpack(data, max_ratio=200)
    with pytest.raises(UploadError, match="unpacks to more"):
        unpack(data, max_ratio=2000, max_unpacked_bytes=1_000_000)


def test_members_that_share_their_bytes_are_counted_each_time():
    """A bomb without a great ratio of any member: all of them point at the same packed bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", bytes(500_000))
        first = archive.filelist[0]
        archive.filelist += [_again(first, f"{number}.png") for number in range(1, 300)]
        archive._didModify = True
    with pytest.raises(UploadError, match=r"unpacks to more|cannot be read"):
        unpack(stream.getvalue(), max_ratio=1100)


def _again(entry: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    twin = zipfile.ZipInfo(name)
    for field in ("compress_type", "CRC", "compress_size", "file_size", "header_offset", "flag_bits"):
        setattr(twin, field, getattr(entry, field))
    return twin


@pytest.mark.parametrize("claim", [10, 2**31])
def test_a_zip_that_lies_about_sizes_gains_nothing(claim):
    data = bytearray(zip_of([("x.png", bytes(5_000_000))]))
    for magic, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.index(magic)
        data[start + offset : start + offset + 4] = struct.pack("<I", claim)
    with pytest.raises(UploadError, match=r"unpacks to more|cannot be read"):
        unpack(bytes(data))


def test_a_zip_of_very_many_members_is_refused_before_it_is_listed():
    data = zip_of([(f"{number}.txt", b"") for number in range(3000)], method=zipfile.ZIP_STORED)
    with pytest.raises(UploadError, match="lists more members"):
        unpack(data, max_files=100)
    assert unpack(data) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_packing_is_refused(method):
    with pytest.raises(UploadError, match="unusual way"):
        unpack(zip_of([("x.png", image("PNG"))], method=method))


def test_an_encrypted_zip_is_refused():
    data = bytearray(zip_of([("x.png", image("PNG"))]))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + offset] |= 1
    with pytest.raises(UploadError, match="encrypted"):
        unpack(bytes(data))


@often
@given(data=st.data())
def test_a_damaged_zip_is_read_or_refused(data):
    whole = bytearray(zip_of([(f"{number}.png", image("PNG")) for number in range(3)]))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole)[: data.draw(st.integers(len(whole) // 2, len(whole)))]
    try:
        assert len(unpack(cut)) <= 3
    except UploadError as error:
        assert error.message


def test_of_a_zip_that_is_refused_the_hash_is_kept(store):
    data = zip_of([("../x.png", b"x")])
    (got,) = received("bad\ud800.zip", io.BytesIO(data), store, LIMITS)
    assert got.image is None and got.sha256 == hashlib.sha256(data).hexdigest() and got.num_bytes == len(data)
