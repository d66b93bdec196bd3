"""Makes tests/golden/corruptions: what ImageNet-C's own lines make of three drawings.

    pip install -r tests/reference/requirements-corruptions.txt && python tests/reference/corruptions.py

The five functions are those of github.com/hendrycks/robustness (ImageNet-C/create_c/make_imagenet_c.py and
make_tinyimagenet_c.py, at commit 8190fe3; Apache 2.0), with three changes: the noise's draws are the project's, written out
here a second time (ChaCha with 8 rounds, Leva's normal numbers); sizes come from the image; `multichannel=True` is called
`channel_axis=-1` today. The strengths are copied from there, one table for ImageNet-C and one for Tiny-ImageNet-C.

  small.bin.gz   results for the drawing of 37 x 50 pixels, 37 * 50 * 3 bytes each, by table, kind and strength
  digests.json   SHA-256 of every drawing and of every result; some draws, as the hexadecimal digits of their bits

NumPy's `exp` gives other last digits on processors with AVX-512. The blur's weights are made with the C library's instead, which
rounds all of those used here as it should; what that moves in these drawings (nothing, so far) is printed.
"""

import gzip
import hashlib
import io
import json
import math
import pathlib
import struct

import numpy as np
import scipy.ndimage._filters as scipy_filters
from PIL import Image
from skimage.filters import gaussian

OUT = pathlib.Path(__file__).parent.parent / "golden" / "corruptions"
SIZES = [(37, 50), (64, 64), (224, 224)]
SEED = 7

TABLES = {
    "imagenet": {
        "gaussian_noise": [0.08, 0.12, 0.18, 0.26, 0.38],
        "gaussian_blur": [1, 2, 3, 4, 6],
        "jpeg": [25, 18, 15, 10, 7],
        "contrast": [0.4, 0.3, 0.2, 0.1, 0.05],
        "pixelate": [0.6, 0.5, 0.4, 0.3, 0.25],
    },
    "tiny_imagenet": {
        "gaussian_noise": [0.04, 0.08, 0.12, 0.15, 0.18],
        "gaussian_blur": [0.5, 0.75, 1, 1.25, 1.5],
        "jpeg": [65, 58, 50, 40, 25],
        "contrast": [0.4, 0.3, 0.2, 0.1, 0.05],
        "pixelate": [0.9, 0.8, 0.7, 0.6, 0.5],
    },
}


def drawing(width, height):
    """Slopes, steps and even areas, in whole numbers; tests/corruptions.rs draws the same."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    slopes = ((3 * x * x + 5 * y * y + 2 * (c + 1) * x * y) // 16 + 60 * ((x // 5 + y // 7) % 2)) % 256
    even = np.where(x < width // 4, 255, 90 + 40 * c)
    return np.where((x < width // 4) | (y < height // 5), even, slopes).astype(np.uint8)


# ---- The project's draws


def words(key, stream, n_blocks):
    """ChaCha with 8 rounds: a counter and a stream of 64 bits each."""
    state = np.zeros((16, n_blocks), np.uint32)
    state[:4] = np.frombuffer(b"expand 32-byte k", "<u4")[:, None]
    state[4:12] = np.frombuffer(key, "<u4")[:, None]
    state[12] = np.arange(n_blocks)
    state[14], state[15] = stream & 0xFFFFFFFF, stream >> 32
    v = state.copy()

    def turned(a, n):
        return (a << np.uint32(n)) | (a >> np.uint32(32 - n))

    def quarter(a, b, c, d):
        v[a] += v[b]; v[d] = turned(v[d] ^ v[a], 16)
        v[c] += v[d]; v[b] = turned(v[b] ^ v[c], 12)
        v[a] += v[b]; v[d] = turned(v[d] ^ v[a], 8)
        v[c] += v[d]; v[b] = turned(v[b] ^ v[c], 7)

    for _ in range(4):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return (v + state).T.reshape(-1)


def stream_of(image, kind, strength):
    """Sixteen digits of the key's SHA-256."""
    text = "5:noise"
    for name, value in (("image", image), ("kind", kind), ("strength", str(strength))):
        text += f"\n{len(name)}:{name}={len(value)}:{value}"
    return int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)


def draws(image, kind, strength, n):
    key = struct.pack("<Q", SEED) + b"corruption".ljust(24, b"\0")
    low, high = words(key, stream_of(image, kind, strength), n // 2 + 64).reshape(-1, 2).T.astype(np.uint64)
    unit = ((high << np.uint64(32) | low) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    u, v = 1.0 - unit[0::2], 1.7156 * (unit[1::2] - 0.5)
    x, y = u - 0.449871, np.abs(v) + 0.386595
    q = x * x + y * (0.19600 * y - 0.25472 * x)
    good = (q < 0.27597) | ((q <= 0.27846) & (v * v <= -4.0 * np.log(u) * u * u))
    normal = (v / u)[good]
    assert len(normal) >= n
    return normal[:n]


# ---- The reference


def gaussian_noise(x, c, name, strength):
    x = np.array(x) / 255.0
    normal = draws(name, "gaussian_noise", strength, x.size).reshape(x.shape)
    return np.clip(x + (0.0 + c * normal), 0, 1) * 255


def gaussian_blur(x, c, *_):
    x = gaussian(np.array(x) / 255.0, sigma=c, channel_axis=-1)
    return np.clip(x, 0, 1) * 255


def jpeg(x, c, *_):
    output = io.BytesIO()
    x.save(output, "JPEG", quality=c)
    return Image.open(output)


def contrast(x, c, *_):
    x = np.array(x) / 255.0
    means = np.mean(x, axis=(0, 1), keepdims=True)
    return np.clip((x - means) * c + means, 0, 1) * 255


def pixelate(x, c, *_):
    width, height = x.size
    x = x.resize((int(width * c), int(height * c)), Image.BOX)
    return x.resize((width, height), Image.BOX)


def result(kind, image, c, name, strength):
    return np.uint8(globals()[kind](image, c, name, strength))


def kernel(sigma, order, radius):
    """SciPy's own, with the C library's `exp`."""
    assert order == 0
    weights = np.array([math.exp(-0.5 / (sigma * sigma) * x**2) for x in range(-radius, radius + 1)])
    return weights / weights.sum()


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    own_kernel = scipy_filters._gaussian_kernel1d
    digests, small, moved = {}, b"", []
    for width, height in SIZES:
        name = f"{width}x{height}"
        image = Image.fromarray(drawing(width, height))
        digests[name] = hashlib.sha256(image.tobytes()).hexdigest()
        for table, kinds in TABLES.items():
            for kind, strengths in kinds.items():
                for strength, c in enumerate(strengths, 1):
                    scipy_filters._gaussian_kernel1d = kernel
                    pixels = result(kind, image, c, name, strength)
                    digests[f"{name} {table} {kind} {strength}"] = hashlib.sha256(pixels.tobytes()).hexdigest()
                    if (width, height) == SIZES[0]:
                        small += pixels.tobytes()
                    scipy_filters._gaussian_kernel1d = own_kernel
                    apart = np.abs(result(kind, image, c, name, strength).astype(int) - pixels)
                    if apart.any():
                        moved.append((f"{name} {table} {kind} {strength}", apart.max(), (apart > 0).mean()))
    (OUT / "small.bin.gz").write_bytes(gzip.compress(small, mtime=0))
    first = [struct.pack(">d", draw).hex() for draw in draws("37x50", "gaussian_noise", 1, 12)]
    (OUT / "digests.json").write_text(json.dumps({"draws": first, "sha256": digests}, indent=1) + "\n")
    for what, most, share in moved:
        print(f"with NumPy's exp: {what}: {share:.1%} of the bytes, by {most}")


main()
