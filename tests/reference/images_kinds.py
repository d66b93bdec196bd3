"""Makes tests/golden/images/kinds: small files of every kind of TIFF, BMP, EXIF, PNG and GIF, and their pixels.

    pip install -r tests/reference/requirements-images-kinds.txt && python tests/reference/images_kinds.py

NAME is an image file, NAME.rgb its width and height (u32, little-endian) and its pixels, as Pillow's
`ImageOps.exif_transpose(Image.open(file)).convert("RGB")` sees them. Where Pillow refuses a kind, or where this project
differs on purpose, the pixels are made here by numpy, and the name begins with `own_`.
"""

import io
import itertools
import pathlib
import struct
import sys
import warnings
import zlib

import imagecodecs  # noqa: F401  (tifffile's codecs)
import numpy as np
import tifffile
from PIL import Image, ImageOps, PngImagePlugin

OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "golden/images/kinds")
RNG = np.random.default_rng(2026)
WIDTH, HEIGHT = 19, 13


def picture(channels=3, width=WIDTH, height=HEIGHT):
    """Smooth noise with an edge."""
    small = RNG.integers(0, 256, (height // 5 + 2, width // 5 + 2, channels), dtype=np.uint8)
    planes = [np.asarray(Image.fromarray(small[..., c]).resize((width, height), Image.BICUBIC)) for c in range(channels)]
    pixels = np.stack(planes, -1).copy()
    pixels[height // 2] = RNG.integers(0, 256, channels)
    return pixels


def put(name, data, expected=None):
    (OUT / name).write_bytes(data)
    if expected is None:
        assert not name.startswith("own_"), name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    else:
        assert name.startswith("own_"), name
    height, width, _ = expected.shape
    (OUT / f"{name}.rgb").write_bytes(struct.pack("<II", width, height) + expected.astype(np.uint8).tobytes())


def grey(values):
    return np.repeat(np.asarray(values)[..., None], 3, 2)


def written(pixels, **options):
    buffer = io.BytesIO()
    options.setdefault("metadata", None)
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def lzw(data, old=False, end=True):
    """TIFF's LZW: new (from the highest bit on, codes widen early) or old (from the lowest bit on, widen late)."""
    bits, table, width, codes = [], {}, 9, []

    def emit(code):
        row = [code >> shift & 1 for shift in range(width)]
        bits.extend(row if old else row[::-1])

    emit(256)
    table, free, current = {bytes([value]): value for value in range(256)}, 258, b""
    for value in data:
        longer = current + bytes([value])
        if longer in table:
            current = longer
            continue
        emit(table[current])
        table[longer], free, current = free, free + 1, bytes([value])
        if free + (0 if old else 1) > 1 << width and width < 12:
            width += 1
        if free == 4094:
            emit(256)
            table, free, width = {bytes([value]): value for value in range(256)}, 258, 9
    emit(table[current])
    if end:
        free += 1
        if free + (0 if old else 1) > 1 << width and width < 12:
            width += 1
        emit(257)
    bits += [0] * (-len(bits) % 8)
    rows = np.array(bits, np.uint8)
    return np.packbits(rows, bitorder="little" if old else "big").tobytes()


def tiff(pixels_bytes, tags, order="<", kinds=None):
    """A TIFF of the strips `pixels_bytes`; `tags` are numbers or lists of them, `kinds` types other than long."""
    kinds = kinds or {}
    tags = dict(tags)
    tags[273], tags[279] = [0] * len(pixels_bytes), [len(strip) for strip in pixels_bytes]
    codes = {1: "B", 3: "H", 4: "I", 9: "i", 6: "b", 8: "h", 11: "f", 12: "d", 16: "Q", 2: "B", 7: "B", 5: "I", 10: "i"}
    start = 8 + 2 + 12 * len(tags) + 4
    for _ in range(2):
        entries, extra = b"", b""
        for tag, values in sorted(tags.items()):
            values = [values] if np.isscalar(values) else list(values)
            kind = kinds.get(tag, 4)
            packed = struct.pack(f"{order}{len(values)}{codes[kind]}", *values)
            count = len(values) // 2 if kind in (5, 10) else len(values)
            if len(packed) > 4:
                place = start + len(extra)
                extra += packed + b"\0" * (len(packed) % 2)
                packed = struct.pack(f"{order}I", place)
            entries += struct.pack(f"{order}HHI", tag, kind, count) + packed.ljust(4, b"\0")
        places, at = [], start + len(extra)
        for strip in pixels_bytes:
            places.append(at)
            at += len(strip)
        tags[273] = places
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return head + entries + b"\0" * 4 + extra + b"".join(pixels_bytes)


def plain(bits, photometric, samples=1, **more):
    return {256: WIDTH, 257: HEIGHT, 258: [bits] * samples, 259: 1, 262: photometric, 277: samples, 278: HEIGHT} | more


def packed(values, bits, low_first=False):
    """Rows of `bits` bits a value, padded to whole bytes."""
    rows = []
    for row in values.reshape(len(values), -1):
        text = (row[:, None] >> np.arange(bits - 1, -1, -1)) & 1
        rows.append(np.packbits(text.astype(np.uint8).ravel(), bitorder="little" if low_first else "big").tobytes())
    return b"".join(rows)


def tiffs_of_every_layout():
    codecs = [None, "lzw", "zlib", "zstd", "packbits"]
    for order, tiled, planar, wide, codec, predictor in itertools.product(
        "<>", (False, True), ("contig", "separate"), (False, True), codecs, (False, True)
    ):
        if predictor and codec in (None, "packbits"):
            continue
        if codec in ("zlib", "packbits") and planar == "contig" and order == "<":
            continue  # as the others
        pixels = picture()
        if wide:
            pixels = pixels.astype(np.uint16) * 256 + RNG.integers(0, 256, pixels.shape, dtype=np.uint16)
        name = f"{'le' if order == '<' else 'be'}_{'tiles' if tiled else 'strips'}_{planar}_{16 if wide else 8}"
        name += f"_{codec or 'raw'}{'_predictor' if predictor else ''}.tif"
        where = dict(tile=(16, 16)) if tiled else dict(rowsperstrip=5)
        stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
        data = written(stored, byteorder=order, planarconfig=planar, photometric="rgb", compression=codec,
                       predictor=predictor or None, **where)
        if codec is None and tiled and planar == "separate" or wide and planar == "separate":
            put(f"own_{name}", data, pixels >> 8 if wide else pixels)  # Pillow mixes planes up, or refuses
        else:
            put(name, data)


def tiffs_of_jpeg():
    for tiled, sampling, order in itertools.product((False, True), ((1, 1), (2, 1), (2, 2)), "<>"):
        where = dict(tile=(32, 32)) if tiled else dict(rowsperstrip=16)
        data = written(picture(3, 53, 37), byteorder=order, photometric="ycbcr", compression="jpeg", subsampling=sampling,
                       compressionargs={"level": 85}, **where)
        put(f"jpeg_{'tiles' if tiled else 'strips'}_{sampling[0]}{sampling[1]}_{'le' if order == '<' else 'be'}.tif", data)
    for tiled in (False, True):
        where = dict(tile=(16, 16)) if tiled else dict(rowsperstrip=8)
        kind = "tiles" if tiled else "strips"
        put(f"jpeg_grey_{kind}.tif", written(picture(1)[..., 0], photometric="minisblack", compression="jpeg", **where))
        put(f"jpeg_rgb_{kind}.tif", written(picture(), photometric="rgb", compression="jpeg",
                                            compressionargs={"outcolorspace": "rgb"}, **where))
    pixels = np.moveaxis(picture(3, 40, 30), -1, 0)
    put("jpeg_planar.tif", written(pixels, photometric="rgb", compression="jpeg", rowsperstrip=16, planarconfig="separate"))
    for quality in (50, 90):  # one table for all strips, in a tag of its own
        buffer = io.BytesIO()
        Image.fromarray(picture(3, 40, 30)).save(buffer, "TIFF", compression="jpeg", quality=quality)
        put(f"jpeg_by_pillow_{quality}.tif", buffer.getvalue())


def tiffs_of_extra_samples():
    for extra, wide in itertools.product((0, 1, 2), (False, True)):
        pixels = picture(4)
        pixels[3, :, 3], pixels[4, :, 3] = 0, 255
        if extra == 1:
            pixels[..., :3] = np.minimum(pixels[..., :3], pixels[..., 3:])
        if wide:
            pixels = pixels.astype(np.uint16) * 257
        put(f"rgb_extra{extra}_{16 if wide else 8}.tif", written(pixels, photometric="rgb", extrasamples=[extra]))
    put("rgb_extra00.tif", written(picture(5), photometric="rgb", extrasamples=[0, 0]))
    put("rgb_extra10.tif", written(picture(5), photometric="rgb", extrasamples=[1, 0]))
    put("rgb_extra200.tif", written(picture(6), photometric="rgb", extrasamples=[2, 0, 0]))
    put("grey_extra0.tif", written(picture(2), photometric="minisblack", extrasamples=[0]))
    put("grey_extra2.tif", written(picture(2), photometric="minisblack", extrasamples=[2], planarconfig="contig"))
    pixels = picture(2)
    pixels[2, :, 1] = 0
    divided = np.minimum(pixels[..., 0].astype(int) * 255 // np.maximum(pixels[..., 1].astype(int), 1), 255) * (pixels[..., 1] > 0)
    put("own_grey_extra1.tif", written(pixels, photometric="minisblack", extrasamples=[1]), grey(divided))


def tiffs_of_ycbcr():
    """YCbCr without JPEG: blocks of brightnesses, then their one blue and one red difference."""
    for (across, down), n_rows, codec in (((1, 1), 13, 5), ((2, 1), 13, 5), ((2, 2), 4, 5), ((2, 2), 13, 8), ((4, 2), 6, 8),
                                          ((4, 1), 5, 5), ((1, 2), 13, 8)):
        strips = []
        for top in range(0, HEIGHT, n_rows):
            n_blocks = -(-WIDTH // across) * -(-min(n_rows, HEIGHT - top) // down)
            small = Image.fromarray(RNG.integers(0, 256, (4, 4), dtype=np.uint8))
            data = np.asarray(small.resize((across * down + 2, n_blocks))).tobytes()
            strips.append(lzw(data) if codec == 5 else zlib.compress(data))
        tags = plain(8, 6, 3) | {259: codec, 278: n_rows, 530: [across, down]}
        put(f"ycbcr_{across}{down}_{n_rows}_{codec}.tif", tiff(strips, tags, kinds={530: 3}))
    data, tags = lzw(picture().tobytes()), plain(8, 6, 3) | {259: 5, 530: [1, 1]}
    levels = {532: [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1]}
    put("ycbcr_levels.tif", tiff([data], tags | levels, kinds={530: 3, 532: 5}))
    weights = {529: [2126, 10000, 7152, 10000, 722, 10000]}
    put("ycbcr_weights.tif", tiff([data], tags | weights, ">", kinds={529: 5, 530: 3}))
    tiles = {key: value for key, value in tags.items() if key != 278} | {322: 32, 323: 16}
    put("ycbcr_tiles.tif", tiff([lzw(picture(3, 32, 16).tobytes())], tiles, kinds={530: 3}))


def tiffs_of_few_bits():
    for bits in (1, 2, 4):
        values = RNG.integers(0, 1 << bits, (HEIGHT, WIDTH))
        for photometric, low_first in itertools.product((0, 1, 3), (False, True)):
            more = {266: 2} if low_first else {}
            name, expected = f"{bits}bits_photometric{photometric}{'_low_first' if low_first else ''}.tif", None
            if photometric == 3:
                more[320] = RNG.integers(0, 65536, 3 << bits)
                if low_first:  # Pillow knows no such raw mode
                    name, expected = f"own_{name}", more[320].reshape(3, -1).T[values] >> 8
            data = tiff([packed(values, bits, low_first)], plain(bits, photometric) | more, kinds={320: 3, 258: 3})
            put(name, data, expected)
    # Pillow's raw decoder unpacks 12 bits, and then clips at 255: here the upper eight count.
    for bits in (10, 12, 14):
        values = RNG.integers(0, 1 << bits, (HEIGHT, WIDTH))
        data = tiff([packed(values, bits)], plain(bits, 1))
        put(f"own_{bits}bits.tif", data, grey(values >> (bits - 8)))
    values = RNG.integers(0, 16, (HEIGHT, WIDTH, 3))
    put("own_rgb_4bits.tif", tiff([packed(values, 4)], plain(4, 2, 3)), values * 17)
    wide = RNG.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
    put("own_white_is_zero_16.tif", written(wide, photometric="miniswhite"), grey(255 - (wide >> 8)))


def tiffs_of_lzw():
    pixels = picture(3, 90, 61)
    shape = {256: 90, 257: 61, 278: 61, 259: 5}
    put("lzw_old.tif", tiff([lzw(pixels.tobytes(), old=True)], plain(8, 2, 3) | shape))
    put("lzw_without_end.tif", tiff([lzw(pixels.tobytes(), end=False)], plain(8, 2, 3) | shape))
    put("lzw_old_without_end.tif", tiff([lzw(pixels.tobytes(), old=True, end=False)], plain(8, 2, 3) | shape))
    put("lzw_end.tif", tiff([lzw(pixels.tobytes())], plain(8, 2, 3) | shape))
    flipped = bytes(int(f"{value:08b}"[::-1], 2) for value in lzw(pixels.tobytes()))
    put("lzw_low_first.tif", tiff([flipped], plain(8, 2, 3) | shape | {266: 2}))


def tiffs_of_fax():
    page = Image.fromarray(picture(1, 67, 41)[..., 0]).convert("1", dither=Image.Dither.NONE)
    for codec in ("group3", "group4", "tiff_ccitt"):
        buffer = io.BytesIO()
        page.save(buffer, "TIFF", compression=codec)
        put(f"{codec}.tif", buffer.getvalue())
    for options, name in ((1, "two_dimensional"), (4, "aligned"), (5, "two_dimensional_aligned")):
        buffer = io.BytesIO()
        page.save(buffer, "TIFF", compression="group3", tiffinfo={292: options})
        put(f"group3_{name}.tif", buffer.getvalue())
    white = Image.new("1", (67, 41), 1)
    buffer = io.BytesIO()
    white.save(buffer, "TIFF", compression="group4")
    put("group4_white.tif", buffer.getvalue())


def tiffs_of_other_kinds():
    first, second = picture(), picture()
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(first, photometric="rgb", metadata=None, subifds=1)
        file.write(second[::2, ::2], photometric="rgb", metadata=None)
        file.write(second, photometric="rgb", metadata=None)
    put("pages_and_subifd.tif", buffer.getvalue())
    pixels = picture()
    options = dict(bigtiff=True, tile=(16, 16), compression="lzw", photometric="rgb")
    put("bigtiff_le_tiles.tif", written(pixels, byteorder="<", **options))
    put("own_bigtiff_be_tiles.tif", written(pixels, byteorder=">", **options), pixels)  # Pillow looks at the wrong byte
    for kind, value in ((3, 6), (4, 6), (9, 6), (8, 6), (6, 6), (1, 6), (11, 6.0), (12, 6.0), (5, (12, 2)), (2, 54)):
        data = tiff([picture().tobytes()], plain(8, 2, 3) | {274: value}, kinds={274: kind})
        put(f"orientation_kind{kind}.tif", data)
    xmp = b'<x tiff:Orientation="8"/>'
    put("orientation_xmp.tif", tiff([picture().tobytes()], plain(8, 2, 3) | {700: list(xmp)}, kinds={700: 1}))
    put("orientation_0_xmp.tif", tiff([picture().tobytes()], plain(8, 2, 3) | {274: 0, 700: list(xmp)}, kinds={700: 1}))
    cmyk = picture(4)
    put("cmyk_tiles.tif", written(cmyk, photometric="separated", tile=(16, 16), compression="lzw"))
    put("palette_tiles.tif", written(picture(1)[..., 0], photometric="palette", tile=(16, 16), compression="zlib",
                                     colormap=RNG.integers(0, 65536, (3, 256), dtype=np.uint16)))


def bmp(bits, rows, header=40, height=HEIGHT, compression=0, palette=b"", masks=b"", n_colours=0, gap=0):
    pixels = rows if isinstance(rows, bytes) else b"".join(row + b"\0" * (-len(row) % 4) for row in rows)
    if header == 12:
        info = struct.pack("<IHHHH", 12, WIDTH, height, 1, bits)
    else:
        info = struct.pack("<IIiHHIIIIII", header, WIDTH, height, 1, bits, compression, len(pixels), 0, 0, n_colours, 0)
        if header > 40:
            info += masks
            masks = b""
        info = info.ljust(header, b"\0")
    offset = 14 + len(info) + len(masks) + len(palette) + gap
    return struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset) + info + masks + palette + b"\0" * gap + pixels


def bmps():
    pixels = picture()
    rows = [row[:, ::-1].tobytes() for row in pixels[::-1]]
    put("24.bmp", bmp(24, rows))
    put("24_os2.bmp", bmp(24, rows, header=12))
    put("24_os2_2.bmp", bmp(24, rows, header=64))
    put("24_v5.bmp", bmp(24, rows, header=124))
    put("24_top_down.bmp", bmp(24, rows[::-1], height=-HEIGHT))
    put("24_gap.bmp", bmp(24, rows, gap=10))
    for bits in (1, 4, 8):
        values = RNG.integers(0, 1 << bits, (HEIGHT, WIDTH))
        for header, size in ((12, 3), (40, 4), (64, 4), (108, 4)):
            colours = RNG.integers(0, 256, (1 << bits) * size, dtype=np.uint8).tobytes()
            stored = packed(values[::-1], bits)
            length = len(stored) // HEIGHT
            lines = [stored[row * length : (row + 1) * length] for row in range(HEIGHT)]
            put(f"{bits}_header{header}.bmp", bmp(bits, lines, header=header, palette=colours))
        put(f"{bits}_top_down.bmp", bmp(bits, lines, height=-HEIGHT, palette=colours))
    few = RNG.integers(0, 256, 5 * 4, dtype=np.uint8).tobytes()
    put("8_few_colours.bmp", bmp(8, [row.astype(np.uint8).tobytes() for row in values % 7], palette=few, n_colours=5))
    ramp = bytes(value for level in range(256) for value in (level, level, level, 0))
    put("8_grey.bmp", bmp(8, [row.astype(np.uint8).tobytes() for row in values], palette=ramp))
    words = RNG.integers(0, 65536, (HEIGHT, WIDTH)).astype("<u2")
    put("16.bmp", bmp(16, [row.tobytes() for row in words]))
    for name, masks in (("555", (0x7C00, 0x3E0, 0x1F)), ("565", (0xF800, 0x7E0, 0x1F))):
        put(f"16_{name}.bmp", bmp(16, [row.tobytes() for row in words], compression=3, masks=struct.pack("<III", *masks)))
    quads = RNG.integers(0, 1 << 32, (HEIGHT, WIDTH)).astype("<u4")
    lines = [row.tobytes() for row in quads]
    put("32.bmp", bmp(32, lines))
    for name, masks, header in (
        ("bgrx", (0xFF0000, 0xFF00, 0xFF, 0), 40), ("xbgr", (0xFF000000, 0xFF0000, 0xFF00, 0), 56),
        ("abgr", (0xFF000000, 0xFF0000, 0xFF00, 0xFF), 108), ("rgba", (0xFF, 0xFF00, 0xFF0000, 0xFF000000), 124),
        ("bgra", (0xFF0000, 0xFF00, 0xFF, 0xFF000000), 124), ("bgar", (0xFF000000, 0xFF00, 0xFF, 0xFF0000), 108),
        ("none", (0, 0, 0, 0), 56),
    ):
        masks = struct.pack("<IIII", *masks)
        put(f"32_{name}.bmp", bmp(32, lines, header=header, compression=3, masks=masks if header > 40 else masks[:12]))
    tens = np.stack([(quads >> shift & 1023) * 255 // 1023 for shift in (20, 10, 0)], -1)[::-1]
    put("own_32_ten_bits.bmp", bmp(32, lines, compression=3, masks=struct.pack("<III", 1023 << 20, 1023 << 10, 1023)), tens)
    run_lengths()


def run_lengths():
    colours = RNG.integers(0, 256, 256 * 4, dtype=np.uint8).tobytes()
    values = np.sort(RNG.integers(0, 256, (HEIGHT, WIDTH)), 1).astype(np.uint8)
    encoded = b""
    for y, row in enumerate(values):
        if y % 3 == 0:  # runs
            encoded += b"".join(bytes([len(list(run)), value]) for value, run in itertools.groupby(row))
        elif y % 3 == 1:  # as they are, an odd number
            encoded += bytes([0, WIDTH]) + row.tobytes() + b"\0" * (WIDTH % 2)
        else:  # a step, and the rest as a run
            encoded += bytes([0, 2, 5, 0, WIDTH - 5, 9])
        encoded += b"\0\0"
    put("8_rle.bmp", bmp(8, encoded + b"\0\1", compression=1, palette=colours))
    # Words are counted from the first pixel on; Pillow counts them from the start of the file.
    table = np.frombuffer(colours, np.uint8).reshape(-1, 4)[:, 2::-1]
    indices = values.copy()
    indices[2::3, :5], indices[2::3, 5:] = 0, 9
    put("own_8_rle_gap.bmp", bmp(8, encoded + b"\0\1", compression=1, palette=colours, gap=1), table[indices[::-1]])
    encoded = b""
    for y in range(HEIGHT):
        encoded += bytes([WIDTH - 7, 16 * (y % 16) + 5]) + b"\0\x07\x12\x34\x56\x70" + b"\0\0"
    put("4_rle.bmp", bmp(4, encoded + b"\0\1", compression=2, palette=colours[:64]))
    early = bytes([WIDTH, 7, 0, 0, WIDTH, 9, 0, 1])
    indices = np.zeros((HEIGHT, WIDTH), int)
    indices[-1], indices[-2] = 7, 9
    put("own_8_rle_early_end.bmp", bmp(8, early, compression=1, palette=colours), table[indices])


def exif(entries, order="<", magic=42, first=8, gap=b""):
    """EXIF of the entries (tag, kind, count, four bytes or a number)."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", magic, first) + gap
    packed = b""
    for tag, kind, count, value in entries:
        value = value if isinstance(value, bytes) else struct.pack(f"{order}I" if kind in (4, 9, 13) else f"{order}HH", *((value,) if kind in (4, 9, 13) else (value, 0)))
        packed += struct.pack(f"{order}HHI", tag, kind, count) + value
    return head + struct.pack(f"{order}H", len(entries)) + packed + b"\0" * 4


def with_segments(jpeg, *segments):
    return jpeg[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in segments) + jpeg[2:]


def exifs():
    buffer = io.BytesIO()
    Image.fromarray(picture(3, 21, 12)).save(buffer, "JPEG", quality=80)
    jpeg = buffer.getvalue()
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="%d"/>'
    short = (274, 3, 1, 6)
    late = exif([(271, 2, 40, struct.pack("<I", 26 + 12)), short]) + b"maker".ljust(40, b"\0")
    cases = {
        "short_le": [b"Exif\0\0" + exif([short])],
        "short_be": [b"Exif\0\0" + exif([short], ">")],
        "long_le": [b"Exif\0\0" + exif([(274, 4, 1, 8)])],
        "long_be": [b"Exif\0\0" + exif([(274, 4, 1, 8)], ">")],
        "signed_long": [b"Exif\0\0" + exif([(274, 9, 1, 5)], ">")],
        "signed_short": [b"Exif\0\0" + exif([(274, 8, 1, 7)])],
        "two_values": [b"Exif\0\0" + exif([(274, 3, 2, struct.pack("<HH", 3, 6))])],
        "byte": [b"Exif\0\0" + exif([(274, 1, 1, b"\x06\0\0\0")])],
        "text": [b"Exif\0\0" + exif([(274, 2, 2, b"6\0\0\0")])],
        "undefined": [b"Exif\0\0" + exif([(274, 7, 1, b"\x06\0\0\0")])],
        "float": [b"Exif\0\0" + exif([(274, 11, 1, struct.pack("<f", 6.0))])],
        "rational": [b"Exif\0\0" + exif([(274, 5, 1, struct.pack("<I", 26))]) + struct.pack("<II", 12, 2)],
        "unknown_kind": [b"Exif\0\0" + exif([(274, 99, 1, 6)])],
        "zero": [b"Exif\0\0" + exif([(274, 3, 1, 0)])],
        "nine": [b"Exif\0\0" + exif([(274, 3, 1, 9)])],
        "count_zero": [b"Exif\0\0" + exif([(274, 3, 0, 6)]), xmp % 3],
        "twice": [b"Exif\0\0Exif\0\0" + exif([short])],
        "odd_offset": [b"Exif\0\0" + exif([short], first=11, gap=b"\0\0\0")],
        "out_of_order": [b"Exif\0\0" + exif([(305, 3, 1, 1), short, (256, 3, 1, 9)])],
        "first_of_two": [b"Exif\0\0" + exif([(274, 3, 1, 3), short])],
        "magic_swapped": [b"Exif\0\0" + b"MM\x2a\0" + exif([short], ">")[4:]],
        "late": [b"Exif\0\0" + late],
        "beyond_before": [b"Exif\0\0" + exif([(271, 2, 40, struct.pack("<I", 60)), short]) + b"\0" * 30],
        "beyond_behind": [b"Exif\0\0" + exif([short, (305, 2, 40, struct.pack("<I", 60))]) + b"\0" * 30],
        "huge_before": [b"Exif\0\0" + exif([(271, 2, 4_000_000, struct.pack("<I", 8)), short])],
        "cut_directory": [b"Exif\0\0" + exif([short, (305, 3, 1, 1)])[:-12]],
        "two_segments": [b"Exif\0\0" + exif([short])[:20], b"Exif\0\0" + exif([short])[20:]],
        "xmp": [xmp % 6],
        "xmp_twice": [xmp % 6, xmp % 3],
        "xmp_element": [b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>8</tiff:Orientation>"],
        "xmp_nine_then_six": [b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="9"/><x tiff:Orientation="6"/>'],
        "zero_and_xmp": [b"Exif\0\0" + exif([(274, 3, 1, 0)]), xmp % 6],
        "no_orientation_and_xmp": [b"Exif\0\0" + exif([(305, 3, 1, 1)]), xmp % 6],
        "bigtiff": [b"Exif\0\0" + b"II\x2b\0\x08\0\0\0" + struct.pack("<QQHHQQ", 16, 1, 274, 3, 1, 6)],
    }
    for name, segments in cases.items():
        put(f"exif_{name}.jpg", with_segments(jpeg, *segments))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pngs():
    def saved(**options):
        buffer = io.BytesIO()
        Image.fromarray(picture(3, 21, 12)).save(buffer, "PNG", **options)
        return buffer.getvalue()

    turned = exif([(274, 3, 1, 6)])
    end = chunk(b"IEND", b"")
    for name, added in (
        ("exif_behind", chunk(b"eXIf", turned)),
        ("exif_behind_prefixed", chunk(b"eXIf", b"Exif\0\0" + turned)),
        ("exif_behind_long", chunk(b"eXIf", exif([(274, 4, 1, 8)], ">"))),
        ("xmp_behind", chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>')),
        ("xmp_behind_packed", chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b'<x tiff:Orientation="8"/>'))),
        ("exif_zero_and_xmp", chunk(b"eXIf", exif([(274, 3, 1, 0)])) + chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>')),
    ):
        data = saved()
        put(f"{name}.png", data[: -len(end)] + added + end)
        put(f"{name}_before.png", data[:33] + added + data[33:])
    profile = b"Exif\0\0" + turned
    text = f"\nexif\n{len(profile):8}\n{profile.hex()}\n".encode()
    data = saved()
    put("profile.png", data[:33] + chunk(b"tEXt", b"Raw profile type exif\0" + text) + data[33:])
    put("profile_packed.png", data[:33] + chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)) + data[33:])


def webps():
    for name, blob in (("twice", b"Exif\0\0Exif\0\0" + exif([(274, 3, 1, 6)])), ("long", exif([(274, 4, 1, 6)], ">"))):
        buffer = io.BytesIO()
        Image.fromarray(picture(3, 21, 12)).save(buffer, "WEBP", lossless=True, exif=b"x" * len(blob))
        put(f"exif_{name}.webp", buffer.getvalue().replace(b"x" * len(blob), blob))


def gifs():
    def data(screen, frame, flags=0, palette=b"", local=b"", clear=None):
        left, top, width, height = frame
        values = RNG.integers(0, 256, width * height)
        codes = []
        for start in range(0, len(values), 100):
            codes += [256, *values[start : start + 100]]
        bits = "".join(f"{int(code):09b}"[::-1] for code in [*codes, 257])
        bits += "0" * (-len(bits) % 8)
        stream = bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))
        blocks = b"".join(bytes([len(stream[at : at + 255])]) + stream[at : at + 255] for at in range(0, len(stream), 255))
        control = b"" if clear is None else b"!\xf9\4" + bytes([1, 0, 0, clear]) + b"\0"
        head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x87 if palette else flags, 0, 0) + palette
        frame = b"," + struct.pack("<HHHHB", *frame, 0x87 if local else 0) + local
        return head + control + frame + b"\x08" + blocks + b"\0;"

    palette = RNG.integers(0, 256, 768, dtype=np.uint8).tobytes()
    put("no_palette.gif", data((19, 13), (0, 0, 19, 13)))
    put("no_palette_small_frame.gif", data((19, 13), (2, 3, 9, 7)))
    put("no_palette_clear.gif", data((19, 13), (2, 3, 9, 7), clear=77))
    put("screen_0x0.gif", data((0, 0), (0, 0, 19, 13), palette=palette))
    put("screen_0x0_offset.gif", data((0, 0), (3, 2, 9, 7), palette=palette))
    put("screen_0x9_no_palette.gif", data((0, 9), (3, 2, 9, 7)))
    put("frame_beyond.gif", data((8, 20), (5, 4, 9, 7), palette=palette, clear=5))
    put("local_palette.gif", data((19, 13), (2, 3, 9, 7), local=palette))
    put("local_palette_clear.gif", data((0, 0), (2, 3, 9, 7), local=palette, clear=9))


OUT.mkdir(parents=True, exist_ok=True)
for old in OUT.iterdir():
    old.unlink()
for make in (tiffs_of_every_layout, tiffs_of_jpeg, tiffs_of_extra_samples, tiffs_of_ycbcr, tiffs_of_few_bits, tiffs_of_lzw, tiffs_of_fax,
             tiffs_of_other_kinds, bmps, exifs, pngs, webps, gifs):
    make()
