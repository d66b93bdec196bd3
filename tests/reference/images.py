"""Makes tests/golden/images: image files, and what Pillow and torchvision make of them.

    pip install -r tests/reference/requirements-images.txt && python tests/reference/images.py

Three kinds of files, all numbers little-endian:
  decode/NAME            an image file;  decode/NAME.rgb  its width and height (u32) and its pixels, as Pillow sees it
  resize.bin.gz          records: filter (0 nearest, 1 bilinear, 2 bicubic, 3 Lanczos), old width, old height, new
                         width, new height (u32), pixels before, pixels after
  apply/SETTING_NAME.f32 the model's input (3 x 32 x 32, f32) for decode/NAME; the settings stand in SETTINGS
Nothing is drawn from outside: the pictures are seeded smooth noise with edges.
"""

import gzip
import io
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin
from torchvision import transforms
from torchvision.transforms import InterpolationMode

OUT = pathlib.Path(__file__).parent.parent / "golden" / "images"
RNG = np.random.default_rng(2022)
SETTINGS = {
    "bicubic": dict(size=32, crop_pct=0.875, filter=InterpolationMode.BICUBIC, squash=False),
    "bilinear": dict(size=32, crop_pct=0.9, filter=InterpolationMode.BILINEAR, squash=False),
    "squash": dict(size=32, crop_pct=1.0, filter=InterpolationMode.LANCZOS, squash=True),
}
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def picture(width, height, channels=3):
    """Smooth noise with a few hard edges: what photographs are made of."""
    small = RNG.integers(0, 256, (height // 6 + 2, width // 6 + 2, channels), dtype=np.uint8)
    planes = [Image.fromarray(small[..., c]).resize((width, height), Image.BICUBIC) for c in range(channels)]
    pixels = np.stack([np.asarray(plane) for plane in planes], -1).copy()
    pixels[height // 3 : height // 3 + 3, width // 4 :] = RNG.integers(0, 256, channels)
    pixels[:, width // 2 : width // 2 + 2] = RNG.integers(0, 256, channels)
    return pixels


def rgb(width=37, height=23):
    return Image.fromarray(picture(width, height))


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def put(name, data, expected=None):
    """Writes an image file and the pixels that a reader should see."""
    (OUT / "decode" / name).write_bytes(data)
    if expected is None:
        with Image.open(io.BytesIO(data)) as image:
            expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    height, width, _ = expected.shape
    (OUT / "decode" / f"{name}.rgb").write_bytes(struct.pack("<II", width, height) + expected.tobytes())


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def jpegs():
    for sampling, tag in ((0, "444"), (1, "422"), (2, "420")):
        put(f"{tag}.jpg", saved(rgb(), "JPEG", quality=90, subsampling=sampling))
        put(f"{tag}_even.jpg", saved(rgb(42, 26), "JPEG", quality=75, subsampling=sampling))
        put(f"{tag}_progressive.jpg", saved(rgb(50, 34), "JPEG", quality=75, subsampling=sampling, progressive=True))
        put(f"{tag}_narrow.jpg", saved(rgb(3, 5), "JPEG", quality=95, subsampling=sampling))
    put("restart.jpg", saved(rgb(64, 48), "JPEG", quality=80, restart_marker_blocks=3))
    put("grey.jpg", saved(rgb().convert("L"), "JPEG", quality=80))
    put("grey_progressive.jpg", saved(rgb().convert("L"), "JPEG", quality=80, progressive=True))
    put("rgb.jpg", saved(rgb(), "JPEG", quality=80, keep_rgb=True))
    put("pixel.jpg", saved(rgb(1, 1), "JPEG"))
    inks = Image.merge("CMYK", [Image.fromarray(plane) for plane in np.moveaxis(picture(37, 23, 4), -1, 0)])
    cmyk = saved(inks, "JPEG", quality=90)
    put("cmyk.jpg", cmyk)
    # The last byte of the Adobe segment says how the inks are coded; 2 is YCCK.
    end = cmyk.index(b"Adobe") + 12
    put("ycck.jpg", cmyk[: end - 1] + b"\x02" + cmyk[end:])
    # Pillow writes no 4:4:0 and no 4:1:1: the same blocks, said to be sampled otherwise.
    put("440.jpg", resampled(saved(rgb(48, 48), "JPEG", quality=75, subsampling=1), 0x21, 0x12))
    put("411.jpg", resampled(saved(rgb(64, 64), "JPEG", quality=75, subsampling=2), 0x22, 0x41))
    for turn in range(1, 9):
        put(f"turn{turn}.jpg", saved(rgb(24, 16), "JPEG", quality=90, exif=oriented(turn)))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    put("turn_xmp.jpg", saved(rgb(24, 16), "JPEG", quality=90, xmp=xmp))


def resampled(data, old, new):
    frame = data.index(b"\xff\xc0")
    assert data[frame + 11] == old
    return data[: frame + 11] + bytes([new]) + data[frame + 12 :]


def pngs():
    colour = rgb()
    put("rgb.png", saved(colour, "PNG"))
    put("grey.png", saved(colour.convert("L"), "PNG"))
    put("bilevel.png", saved(colour.convert("1"), "PNG"))
    put("rgba.png", saved(Image.fromarray(picture(37, 23, 4)), "PNG"))
    put("grey_alpha.png", saved(Image.fromarray(picture(37, 23, 2)), "PNG"))
    palette = colour.quantize(60)
    put("palette.png", saved(palette, "PNG"))
    put("palette4.png", saved(colour.quantize(13), "PNG", bits=4))
    put("palette_clear.png", saved(palette, "PNG", transparency=bytes(range(0, 240, 4))))
    put("grey_clear.png", saved(colour.convert("L"), "PNG", transparency=100))
    sixteen = RNG.integers(0, 65536, (23, 37), dtype=np.uint16)
    # Pillow clips 16-bit grey at 255; here the high byte counts, as it does for colour.
    high = np.repeat((sixteen >> 8).astype(np.uint8)[..., None], 3, 2)
    put("grey16.png", saved(Image.fromarray(sixteen), "PNG"), high)
    for channels, code, name in ((3, 2, "rgb16"), (4, 6, "rgba16"), (2, 4, "grey_alpha16")):
        put(f"{name}.png", sixteen_bit_png(RNG.integers(0, 65536, (23, 37, channels)), code))
    put("tall.png", saved(rgb(1, 200), "PNG"))
    put("pixel.png", saved(rgb(1, 1), "PNG"))
    put("portrait.png", saved(rgb(41, 64), "PNG"))
    put("landscape.png", saved(rgb(64, 41), "PNG"))
    put("turn6.png", saved(rgb(24, 16), "PNG", exif=oriented(6)))
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "<tiff:Orientation>8</tiff:Orientation>")
    put("turn_xmp.png", saved(rgb(24, 16), "PNG", pnginfo=info))


def sixteen_bit_png(samples, colour_type):
    """A PNG with 16 bits a channel, which Pillow reads but does not write in colour."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def webps():
    put("lossless.webp", saved(rgb(), "WEBP", lossless=True))
    put("alpha.webp", saved(Image.fromarray(picture(37, 23, 4)), "WEBP", lossless=True, exact=True))
    put("lossy.webp", saved(rgb(64, 48), "WEBP", quality=80))
    put("lossy_odd.webp", saved(rgb(), "WEBP", quality=60))
    put("lossy_alpha.webp", saved(Image.fromarray(picture(37, 23, 4)), "WEBP", quality=80))
    put("animated.webp", saved(rgb(), "WEBP", lossless=True, save_all=True, append_images=[rgb(), rgb()]))
    put("turn5.webp", saved(rgb(24, 16), "WEBP", lossless=True, exif=oriented(5)))


def tiffs():
    colour = rgb()
    put("raw.tif", saved(colour, "TIFF"))
    put("lzw.tif", saved(colour, "TIFF", compression="tiff_lzw"))
    put("deflate.tif", saved(colour, "TIFF", compression="tiff_adobe_deflate"))
    put("packbits.tif", saved(colour, "TIFF", compression="packbits"))
    put("predictor.tif", saved(colour, "TIFF", compression="tiff_lzw", tiffinfo={317: 2}))
    put("big.tif", saved(colour, "TIFF", big_tiff=True))
    put("planar.tif", planar_tiff(colour))
    put("grey.tif", saved(colour.convert("L"), "TIFF"))
    put("bilevel.tif", saved(colour.convert("1"), "TIFF"))
    put("white_is_zero.tif", saved(colour.convert("L"), "TIFF", tiffinfo={262: 0}))
    put("grey_alpha.tif", saved(Image.fromarray(picture(37, 23, 2)), "TIFF"))
    put("rgba.tif", saved(Image.fromarray(picture(37, 23, 4)), "TIFF"))
    inks = Image.merge("CMYK", [Image.fromarray(plane) for plane in np.moveaxis(picture(37, 23, 4), -1, 0)])
    put("cmyk.tif", saved(inks, "TIFF"))
    put("cmyk_lzw.tif", saved(inks, "TIFF", compression="tiff_lzw"))
    put("palette.tif", saved(colour.quantize(60), "TIFF"))
    put("palette_big_lzw.tif", saved(colour.quantize(256), "TIFF", compression="tiff_lzw", big_tiff=True))
    sixteen = RNG.integers(0, 65536, (23, 37), dtype=np.uint16)
    high = np.repeat((sixteen >> 8).astype(np.uint8)[..., None], 3, 2)
    put("grey16.tif", saved(Image.fromarray(sixteen), "TIFF"), high)  # Pillow clips, as for PNG
    put("rgb16.tif", plain_tiff(RNG.integers(0, 65536, (23, 37, 3), dtype=np.uint16), 16, 2))
    put("rgb16_motorola.tif", plain_tiff(RNG.integers(0, 65536, (23, 37, 3), dtype=np.uint16), 16, 2, ">"))
    put("turn7.tif", saved(rgb(24, 16), "TIFF", tiffinfo={274: 7}))
    put("turn3_lzw.tif", saved(rgb(24, 16), "TIFF", compression="tiff_lzw", tiffinfo={274: 3}))


def plain_tiff(samples, bits, photometric, order="<", planar=1):
    """An uncompressed TIFF of one strip (one a channel where planar)."""
    height, width, channels = samples.shape
    data = samples.astype(f"{order}u{bits // 8}")
    parts = [data] if planar == 1 else np.moveaxis(data, -1, 0)
    strips = [np.ascontiguousarray(part).tobytes() for part in parts]
    tags = {256: [width], 257: [height], 258: [bits] * channels, 259: [1], 262: [photometric], 277: [channels]}
    tags |= {278: [height], 284: [planar], 279: [len(strip) for strip in strips], 273: None}
    start = 8 + 2 + 12 * len(tags) + 4
    extra, entries = b"", b""
    for _ in range(2):  # the first round finds how long the values are, the second knows the offsets
        offsets, at = [], start + len(extra)
        for strip in strips:
            offsets.append(at)
            at += len(strip)
        extra, entries = b"", b""
        for tag, values in sorted((tags | {273: offsets}).items()):
            packed = struct.pack(f"{order}{len(values)}I", *values)
            if len(values) > 1:
                packed, extra = struct.pack(f"{order}I", start + len(extra)), extra + packed
            entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + packed
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return head + entries + b"\0\0\0\0" + extra + b"".join(strips)


def planar_tiff(image):
    return plain_tiff(np.asarray(image), 8, 2, planar=2)


def gifs():
    colour = rgb()
    put("plain.gif", saved(colour, "GIF"))
    put("interlaced.gif", saved(colour, "GIF", interlace=1))
    put("grey.gif", saved(colour.convert("L"), "GIF"))
    put("clear.gif", saved(colour.quantize(30), "GIF", transparency=4))
    put("animated.gif", saved(colour, "GIF", save_all=True, append_images=[rgb(), rgb()]))
    # A frame smaller than the screen: the logical screen's size are bytes 6 to 9.
    for name, clear in (("small_frame", None), ("small_frame_clear", 4)):
        options = {} if clear is None else dict(transparency=clear)
        data = saved(colour.quantize(30), "GIF", interlace=0, **options)
        put(f"{name}.gif", data[:6] + struct.pack("<HH", 45, 30) + data[10:])
    data = saved(colour.quantize(30), "GIF", interlace=0)
    put("large_frame.gif", data[:6] + struct.pack("<HH", 20, 30) + data[10:])


def resizes():
    filters = (Image.NEAREST, Image.BILINEAR, Image.BICUBIC, Image.LANCZOS)
    shapes = [((1, 1), (5, 4)), ((1, 60), (9, 30)), ((60, 1), (7, 16)), ((37, 23), (1, 1)), ((37, 23), (37, 23)),
              ((37, 23), (37, 40)), ((37, 23), (60, 23)), ((37, 23), (20, 11)), ((37, 23), (51, 32)),
              ((20, 60), (19, 21)), ((20, 60), (50, 21)), ((60, 20), (21, 50)), ((2, 2), (31, 33))]
    for _ in range(6):
        shapes.append((tuple(map(int, RNG.integers(1, 60, 2))), tuple(map(int, RNG.integers(1, 60, 2)))))
    with gzip.GzipFile(OUT / "resize.bin.gz", "wb", mtime=0) as file:
        for (before, after) in shapes:
            pixels = RNG.integers(0, 256, (before[1], before[0], 3), dtype=np.uint8)
            for code, resample in enumerate(filters):
                result = Image.fromarray(pixels).resize(after, resample)
                file.write(struct.pack("<5I", code, *before, *after) + pixels.tobytes() + result.tobytes())


def transform(size, crop_pct, filter, squash):
    target = (size, size) if squash else int(np.floor(size / crop_pct))
    steps = [transforms.Resize(target, filter), transforms.CenterCrop(size), transforms.ToTensor()]
    return transforms.Compose(steps + [transforms.Normalize(MEAN, STD)])


def applied():
    names = ["portrait.png", "landscape.png", "pixel.png", "tall.png", "grey.png", "rgba.png", "cmyk.tif",
             "turn7.tif", "rgb16.png", "plain.gif", "alpha.webp", "420.jpg"]
    for name in names:
        width, height = struct.unpack("<II", (OUT / "decode" / f"{name}.rgb").read_bytes()[:8])
        pixels = np.frombuffer((OUT / "decode" / f"{name}.rgb").read_bytes()[8:], np.uint8)
        image = Image.fromarray(pixels.reshape(height, width, 3))
        for setting, options in SETTINGS.items():
            values = transform(**options)(image).numpy().astype("<f4")
            (OUT / "apply" / f"{setting}_{name}.f32").write_bytes(values.tobytes())


for folder in ("decode", "apply"):
    (OUT / folder).mkdir(parents=True, exist_ok=True)
    for old in (OUT / folder).iterdir():
        old.unlink()
for make in (jpegs, pngs, webps, tiffs, gifs, resizes, applied):
    make()
