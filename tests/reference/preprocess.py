"""Makes tests/golden/preprocess: awkward image files, and what the published processors make of them.

    pip install -r tests/reference/requirements-preprocess.txt && python tests/reference/preprocess.py

  images/NAME       image files; the smaller ones are those of tests/golden/images/decode
  expected.json.gz  for each reference and image: SHA-256 of the uint8 square (rows of red, green, blue), found by
                    undoing the normalisation of the reference's own output; for the torchvision backend of
                    transformers, how far its square is from that one, in grey levels, and what share is not equal
  REFERENCE.f32     every STEP-th number of that output (channels, rows, columns), image after image, little-endian;
                    REFERENCE.torchvision_backend.f32 the same of that backend

Every reference starts from the file as transformers' `load_image` opens it: turned upright, RGB. On purpose different
is 16-bit grey, which Pillow clips to white: here the high byte counts, as src/data/images/decode.rs says.
Nothing is drawn from outside: the pictures are seeded smooth noise with edges, and one photograph under CC0
(tests/golden/photos).
"""

import gzip
import hashlib
import io
import json
import pathlib
import struct
import warnings
import zlib

import numpy as np
import open_clip
import timm
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torchvision import models
from transformers import BeitImageProcessor, CLIPImageProcessor, ConvNextImageProcessor, ViTImageProcessor
from transformers.image_utils import load_image
from transformers.models.beit.image_processing_pil_beit import BeitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
GOLDEN = pathlib.Path(__file__).parent.parent / "golden"
OUT = GOLDEN / "preprocess"
RNG = np.random.default_rng(2026)
STEP = 1009  # a prime: the sample visits all rows, columns and channels
REUSED = ["tall.png", "palette_clear.png", "grey16.png", "cmyk.jpg", "animated.gif", "turn7.tif", "420_narrow.jpg"]
PHOTOS = ["chelsea.jpg"]

IMAGENET = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
HALF = dict(image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5])
BILINEAR, BICUBIC = 2, 3


def picture(width, height, channels=3):
    """Smooth noise with a few hard edges: what photographs are made of."""
    small = RNG.integers(0, 256, (height // 12 + 2, width // 12 + 2, channels), dtype=np.uint8)
    planes = [Image.fromarray(small[..., c]).resize((width, height), Image.BICUBIC) for c in range(channels)]
    pixels = np.stack([np.asarray(plane) for plane in planes], -1).copy()
    pixels[height // 3 : height // 3 + 3, width // 4 :] = RNG.integers(0, 256, channels)
    pixels[:, width // 2 : width // 2 + 2] = RNG.integers(0, 256, channels)
    return pixels


def interlaced_png(pixels):
    """A PNG with alpha in Adam7's seven passes, which Pillow reads but does not write."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b""
    for y, x, dy, dx in [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]:
        for row in pixels[y::dy, x::dx]:
            # Filter 1: each byte less the one a pixel before it.
            before = np.concatenate([np.zeros_like(row[:1]), row[:-1]])
            rows += b"\1" + (row - before).tobytes() if row.size else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 1)
    data = zlib.compress(rows, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def make_images():
    """New files, larger than the square that any model sees in at least one direction."""
    def save(name, image, **options):
        image.save(OUT / "images" / name, **options)

    exif = Image.Exif()
    exif[0x0112] = 6
    save("strip.jpg", Image.fromarray(picture(1000, 37)), quality=80)
    save("turned.jpg", Image.fromarray(picture(401, 299)), quality=70, subsampling=2, exif=exif)
    save("grey_odd.jpg", Image.fromarray(picture(317, 241)).convert("L"), quality=70, progressive=True)
    save("lossy_alpha.webp", Image.fromarray(picture(301, 207, 4)), quality=60)
    save("tower.webp", Image.fromarray(picture(90, 700)), quality=60)  # Pillow 13 makes it lower first
    flat = np.repeat(np.repeat(picture(84, 125, 4) & 0xE0, 4, 0), 4, 1)[:499, :333]
    (OUT / "images" / "interlaced.png").write_bytes(interlaced_png(flat))
    return ["strip.jpg", "turned.jpg", "grey_odd.jpg", "lossy_alpha.webp", "tower.webp", "interlaced.png"]


def opened(name):
    """The file as the references see it."""
    folders = {**dict.fromkeys(REUSED, GOLDEN / "images/decode"), **dict.fromkeys(PHOTOS, GOLDEN / "photos")}
    path = folders.get(name, OUT / "images") / name
    if name != "grey16.png":
        return load_image(str(path))
    with Image.open(path) as image:
        samples = np.asarray(image)
    assert samples.dtype == np.uint16 and np.asarray(load_image(str(path))).mean() > 250, "Pillow clips no longer"
    return Image.fromarray((samples >> 8).astype(np.uint8)).convert("RGB")


def timm_eval(name):
    """timm's own recipe: `create_transform(**resolve_model_data_config(model))`."""
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    return timm.data.create_transform(**config), config["mean"], config["std"]


def preset(weights):
    transform = weights.transforms()
    return transform, transform.mean, transform.std


def open_clip_eval(name, tag):
    model = open_clip.create_model(name, load_weights=False)
    config = PreprocessCfg(**open_clip.get_model_preprocess_cfg(model))
    published = open_clip.get_pretrained_cfg(name, tag)
    assert {key: published[key] for key in ("mean", "std", "interpolation", "resize_mode")} == {
        key: getattr(config, key) for key in ("mean", "std", "interpolation", "resize_mode")}
    return image_transform_v2(config, is_train=False), config.mean, config.std


def hub(processor):
    def transform(image):
        return torch.as_tensor(processor(image, return_tensors="pt")["pixel_values"][0])
    return transform, processor.image_mean, processor.image_std


def references():
    """Name -> (transform, mean, std). Names are ids of records or, for what no record uses, `torchvision NAME`."""
    clip = dict(size={"shortest_edge": 224}, resample=BICUBIC, crop_size={"height": 224, "width": 224})
    vit = dict(size={"height": 224, "width": 224}, resample=BILINEAR, **HALF)
    dino = vit | IMAGENET
    convnext = dict(size={"shortest_edge": 224}, crop_pct=0.875, resample=BICUBIC, **IMAGENET)
    clips, vits = (CLIPImageProcessorPil, CLIPImageProcessor), (ViTImageProcessorPil, ViTImageProcessor)
    beits, convnexts = (BeitImageProcessorPil, BeitImageProcessor), (ConvNextImageProcessorPil, ConvNextImageProcessor)
    found = {
        "clip_vit_b32.openai": (clips, clip),
        "vit_b16.in21k_ft_in1k": (vits, vit),
        "vit_b32.in21k": (vits, vit),
        "vit_l16.in21k_ft_in1k": (vits, vit),
        "vit_l32.in21k_ft_in1k_384": (vits, vit | dict(size={"height": 384, "width": 384})),
        "dino_b16.in1k": (vits, dino),
        "dino_s16.in1k": (vits, dino),
        "mae_b16.in1k": (vits, dino),
        "beit_b16.pt22k": (beits, vit),
        "data2vec_b16.in1k": (beits, vit | dict(resample=BICUBIC)),
        "convnext_tiny.fb_in1k": (convnexts, convnext),
        "convnext_small.fb_in1k": (convnexts, convnext),
        "convnext_base.fb_in1k": (convnexts, convnext),
    }
    result = {name: hub(pil(**settings)) for name, ((pil, _), settings) in found.items()}
    fast = {name: hub(default(**settings)) for name, ((_, default), settings) in found.items()}
    result |= {name: timm_eval(name)
               for name in ("efficientnet_b2.ra_in1k", "efficientnet_b4.ra2_in1k", "tf_efficientnet_b6.aa_in1k")}
    result["convnext_base.clip_laion400m"] = open_clip_eval("convnext_base", "laion400m_s13b_b51k")
    for name in ("EfficientNet_B2", "EfficientNet_B4", "ViT_B_16", "ViT_L_16", "ConvNeXt_Tiny"):
        result[f"torchvision {name}"] = preset(getattr(models, f"{name}_Weights").IMAGENET1K_V1)
    return result, fast


def square_of(values, mean, std):
    """The bytes that were normalised."""
    exact = (values.double() * torch.tensor(std).double()[:, None, None] + torch.tensor(mean).double()[:, None, None]) * 255
    whole = exact.round()
    assert (exact - whole).abs().max() < 1e-3, "not normalised bytes"
    return whole.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def main():
    # The first thing that fails where a package is missing or another: what is there stays then.
    found, fast = references()
    for old in OUT.glob("**/*.*"):
        old.unlink()
    (OUT / "images").mkdir(parents=True, exist_ok=True)
    names = make_images() + REUSED + PHOTOS
    images = {name: opened(name) for name in names}
    expected = {"images": names, "step": STEP, "squares": {}, "torchvision_backend": {}}
    for reference, (transform, mean, std) in found.items():
        squares, sample, fast_sample = {}, b"", b""
        distances = {}
        for name, image in images.items():
            values = transform(image).contiguous()
            assert values.dtype == torch.float32 and values.shape[1] == values.shape[2]
            square = square_of(values, mean, std)
            squares[name] = hashlib.sha256(square.tobytes()).hexdigest()
            sample += values.flatten()[::STEP].numpy().astype("<f4").tobytes()
            if reference in fast:
                others = fast[reference][0](image).contiguous()
                fast_sample += others.flatten()[::STEP].numpy().astype("<f4").tobytes()
                other = square_of(others, mean, std)
                apart = np.abs(other.astype(int) - square)
                distances[name] = {"max": int(apart.max()), "share": round(float((apart > 0).mean()), 4)}
        expected["squares"][reference] = squares
        if reference in fast:
            expected["torchvision_backend"][reference] = distances
            (OUT / f"{reference}.torchvision_backend.f32").write_bytes(fast_sample)
        (OUT / f"{reference.replace(' ', '_')}.f32").write_bytes(sample)
        worst = max(distances.items(), key=lambda item: item[1]["max"], default=("", {}))
        print(reference, len(sample) // 4, "numbers; torchvision backend:", *worst)
    (OUT / "expected.json.gz").write_bytes(gzip.compress((json.dumps(expected, indent=1) + "\n").encode(), mtime=0))


if __name__ == "__main__":
    main()
