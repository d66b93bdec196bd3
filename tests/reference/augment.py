"""Makes tests/golden/augment: pictures, and what torchvision's augmentations make of them.

    pip install -r tests/reference/requirements-augment.txt && python tests/reference/augment.py

  expected.safetensors.gz  IMAGE: a picture, u8 (64, 64, 3);
                        "STEP ARGUMENTS IMAGE": every EVERY-th value (channels, rows, columns) of that step's result,
                        f32; the arguments of a crop are left, top, width, height and the side of the view
  boxes.json            by "LEAST_SCALE LARGEST_SCALE": means and standard deviations of left, top, width and height
                        over N_BOXES draws of RandomResizedCrop in a picture of 64 x 64

Steps are `torchvision.transforms.v2.functional` on float tensors, values 0 to 1. torchvision does not cut what a
bicubic filter overshoots; here the crop is made narrower, cut, made lower and cut, as Pillow does it. Nothing is drawn
from outside.
Printed as well: how far Pillow's own results are, which DINO, MAE, BEiT and CLIP trained on.
"""

import gzip
import json
import math
import pathlib

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from safetensors.torch import save
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

torch.set_num_threads(1)
OUT = pathlib.Path(__file__).parent.parent / "golden" / "augment"
RNG = np.random.default_rng(2026)
SIDE = 64
EVERY = 17  # a prime: the sample visits all rows, columns and channels
N_BOXES = 100_000
BOXES = [  # left, top, width, height, side of the view
    (0, 0, 64, 64, 48), (0, 0, 64, 64, 64), (0, 0, 64, 64, 96), (3, 7, 50, 41, 48), (20, 11, 17, 23, 48),
    (44, 0, 20, 64, 24), (0, 63, 64, 1, 24), (5, 60, 3, 2, 48),
]
STEPS = {
    "brightness": (F.adjust_brightness, [0.0, 0.6, 1.4]),
    "contrast": (F.adjust_contrast, [0.0, 0.6, 1.4]),
    "saturation": (F.adjust_saturation, [0.0, 0.6, 1.8]),
    "hue": (F.adjust_hue, [-0.5, -0.1, 0.03, 0.1, 0.5]),
    "solarise": (F.solarize, [0.5]),
    "blur": (lambda image, sigma: blurred(image, sigma), [0.1, 0.43, 1.0, 2.0]),
}


def blurred(image, sigma):
    """torchvision reflects the edge; padded by hand first, the part that is kept sees the edge repeated."""
    radius = math.ceil(3 * sigma)
    padded = F.pad(image, [radius], padding_mode="edge")
    return F.center_crop(F.gaussian_blur(padded, 2 * radius + 1, sigma), list(image.shape[1:]))


def smooth():
    """Smooth noise: a photograph's colours."""
    small = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((SIDE, SIDE), Image.BICUBIC))


def noise():
    """Every byte by itself."""
    return RNG.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def drawing():
    """Flat colours and thin black lines on white: pure hues, equal channels, hard edges."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((6, 10, 30, 40), fill=(255, 0, 0), outline="black", width=2)
    draw.ellipse((24, 4, 58, 36), fill=(250, 200, 0), outline="black")
    draw.polygon([(10, 60), (32, 30), (56, 58)], fill=(0, 255, 255))
    draw.rectangle((40, 40, 62, 50), fill=(128, 128, 128))
    draw.line((0, 63, 63, 20), fill=(0, 0, 255))
    return np.asarray(image)


def levels(ours, pillow):
    """How far a tensor (3, H, W) is from a Pillow image, in grey levels."""
    return float((ours * 255 - torch.from_numpy(np.asarray(pillow).copy()).permute(2, 0, 1)).abs().max())


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    expected = {}
    crops_apart, blurs_apart = {}, {}
    for name, pixels in {"smooth": smooth(), "noise": noise(), "drawing": drawing()}.items():
        expected[name] = torch.from_numpy(pixels.copy())
        image = F.to_dtype(expected[name].permute(2, 0, 1).contiguous(), torch.float32, scale=True)
        pillow = Image.fromarray(pixels)

        def keep(step, values):
            assert values.dtype == torch.float32
            expected[f"{step} {name}"] = values.contiguous().flatten()[::EVERY].clone()

        for left, top, width, height, size in BOXES:
            crop = F.crop(image, top, left, height, width)
            for shape in ([height, size], [size, size]):
                crop = F.resize(crop, shape, InterpolationMode.BICUBIC, antialias=True).clamp(0, 1)
            keep(f"crop {left} {top} {width} {height} {size}", crop)
            theirs = F.resized_crop(pillow, top, left, height, width, [size, size], InterpolationMode.BICUBIC)
            if not height - size > max(0, 2 * (width - size)):  # else Pillow 13 makes it lower first
                crops_apart[name] = max(crops_apart.get(name, 0.0), levels(crop, theirs))
        keep("grey", F.rgb_to_grayscale(image, 3))
        for step, (function, arguments) in STEPS.items():
            for argument in arguments:
                keep(f"{step} {argument}", function(image, argument))
        for sigma in (0.43, 1.0):
            theirs = pillow.filter(ImageFilter.GaussianBlur(sigma))
            blurs_apart[f"{name} {sigma}"] = levels(blurred(image, sigma), theirs)
    (OUT / "expected.safetensors.gz").write_bytes(gzip.compress(save(expected), mtime=0))

    boxes = {}
    torch.manual_seed(0)
    empty = torch.empty(3, SIDE, SIDE)
    for scale in [(0.08, 1.0), (0.1, 0.4), (0.9, 1.0)]:
        crop = v2.RandomResizedCrop(48, scale)
        drawn = [crop.make_params([empty]) for _ in range(N_BOXES)]
        drawn = np.array([[box[side] for side in ("left", "top", "width", "height")] for box in drawn])
        boxes[f"{scale[0]} {scale[1]}"] = {"mean": drawn.mean(0).tolist(), "std": drawn.std(0).tolist()}
    (OUT / "boxes.json").write_text(json.dumps(boxes, indent=1) + "\n")
    print("grey levels to Pillow, crops:", crops_apart)
    print("grey levels to Pillow, blurs:", blurs_apart)


if __name__ == "__main__":
    main()
