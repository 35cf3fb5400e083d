"""Decodes one untrusted photo: a separate program, which may be killed at any time.

It reads a file from standard input and writes a line of JSON, and after it raw pixels, to standard output.
It is run by its path, and imports neither torch nor this package, so that it starts fast.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import warnings
from typing import Any

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")
"""Pillow's names of what is read, by content."""
MEMORY_BYTES = 3 << 30  # of address space, most of which libraries reserve and never use
CPU_S = 20
MAX_PIXELS = 50_000_000
MIN_SIDE = 64
_MAX_SCANS = 300
_MAX_PADDING = 16
_SCAN = b"\xff\xda"  # inside of coded data every ff is followed by 00, so this is found only where a scan begins
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_DAMAGED = "the photo is damaged or incomplete; use an undamaged copy"
_KINDS = "a photo (JPEG, PNG, WebP or AVIF)"


class Refused(Exception):
    """The file can't be used; says why."""


def main() -> int:
    """Decode standard input."""
    _limit()
    try:
        header, pixels = _decode(sys.stdin.buffer.read())
    except Refused as refusal:
        header, pixels = {"error": str(refusal)}, b""
    except MemoryError:
        header, pixels = {"error": "needs too much memory to be decoded; save it anew as a plain JPEG or PNG"}, b""
    except Exception:  # a fault of a decoder, which this process is there to contain
        header, pixels = {"error": _DAMAGED}, b""
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + pixels)
    sys.stdout.buffer.flush()
    return 0


def _limit() -> None:
    """Bound what the process may use, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        for what, most in (
            (resource.RLIMIT_AS, MEMORY_BYTES),
            (resource.RLIMIT_CPU, CPU_S),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(what, (most, most))


def _decode(data: bytes) -> tuple[dict[str, Any], bytes]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener  # where users have installed it

        register_heif_opener()
    formats = [name for name in (*FORMATS, "HEIF") if name in Image.registered_extensions().values()]
    Image.MAX_IMAGE_PIXELS = None  # checked below, with a better text
    warnings.simplefilter("ignore")
    try:
        picture: Any = Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError as error:
        raise Refused(_unidentified(data)) from error
    except (OSError, ValueError, SyntaxError, KeyError) as error:
        raise Refused(f"expected {_KINDS}, could not read one") from error
    _check_size(picture.size)
    if picture.format == "JPEG" and data.count(_SCAN) > _MAX_SCANS:
        raise Refused(f"a JPEG with {data.count(_SCAN)} scans is not decoded; save it anew")
    try:
        picture.load()
        picture = ImageOps.exif_transpose(picture)
        if picture.format == "JPEG" or data.startswith(b"\xff\xd8"):
            _check_jpeg(data)
        rgb, alpha = _as_srgb(picture)
    except (OSError, ValueError, SyntaxError, IndexError, KeyError, EOFError) as error:
        raise Refused(_DAMAGED) from error
    header = {"width": rgb.width, "height": rgb.height, "alpha": alpha is not None}
    return header, rgb.tobytes() + (b"" if alpha is None else alpha.tobytes())


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if not width * height:
        raise Refused(f"expected {_KINDS}, found one without a readable size")
    if width * height > MAX_PIXELS:
        raise Refused(f"expected at most {MAX_PIXELS / 1e6:.0f} megapixels, found {width * height / 1e6:.0f}")
    if min(size) < MIN_SIDE:
        raise Refused(f"expected at least {MIN_SIDE} pixels each way, found {width} x {height}")


def _check_jpeg(data: bytes) -> None:
    """Refuse what libjpeg decodes with a warning about lost data, which Pillow doesn't pass on."""
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    reading, writing = os.pipe()
    kept = os.dup(2)
    os.dup2(writing, 2)
    try:
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
    finally:
        os.dup2(kept, 2)
        os.close(writing)
        os.close(kept)
    with os.fdopen(reading, "rb") as said:
        text = said.read()
    left_over = re.search(rb"(\d+) extraneous bytes", text)  # some cameras pad a few bytes; more means lost data
    lost = any(sign in text for sign in (b"premature end", b"Premature end", b"bad Huffman", b"restart marker"))
    if lost or (left_over and int(left_over[1]) >= _MAX_PADDING):
        raise ValueError(text.decode(errors="replace"))


def _as_srgb(picture: Any) -> tuple[Any, Any]:
    """The image in sRGB, and its opacity if not all of it is opaque."""
    from PIL import Image, ImageCms

    alpha = None
    if picture.has_transparency_data:
        alpha = picture.convert("RGBA").getchannel("A")
        if alpha.getextrema() == (255, 255):
            alpha = None
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        picture = _eight_bits(picture)
    profile = picture.info.get("icc_profile")
    if profile and picture.mode in ("RGB", "CMYK", "L", "RGBA"):
        if picture.mode == "RGBA":
            picture = picture.convert("RGB")
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):  # a profile that does not fit is ignored
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            picture = converted or picture
    rgb = picture.convert("RGBA").convert("RGB") if picture.mode in ("P", "PA", "LA", "La", "RGBa") else picture
    return (rgb if rgb.mode == "RGB" else rgb.convert("RGB")), (alpha if alpha is None else Image.Image.copy(alpha))


def _eight_bits(picture: Any) -> Any:
    """Grey of 16 or more bits, which `convert` would cut off at 255."""
    import numpy as np
    from PIL import Image

    values = np.asarray(picture).astype(np.float64)
    most = 1.0 if picture.mode == "F" and values.max() <= 1 else 65535.0
    return Image.fromarray(np.clip(values * (255 / most), 0, 255).astype(np.uint8))


def _unidentified(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return "HEIC needs one more package: pip install 'presenter[heic]'; or save the photo as JPEG"
    if data[4:8] == b"ftyp":
        return f"expected {_KINDS}, found a video"
    return f"expected {_KINDS}, could not read one" if data else f"expected {_KINDS}, found an empty file"


if __name__ == "__main__":
    raise SystemExit(main())
