"""Near duplicates planted among pictures that are none, and what imagededup and CleanVision find of them.

    python -m venv .venv && .venv/bin/pip install -r tests/reference/requirements-near-duplicates.txt
    .venv/bin/pip install --no-deps imagededup==0.3.3.post2
    .venv/bin/python tests/reference/near_duplicates.py make FOLDER
    WIDER_CLIP_NEAR_DUPLICATES=FOLDER cargo test --test soundness near_duplicates_of_a_folder -- --ignored
    .venv/bin/python tests/reference/near_duplicates.py tell FOLDER

Run from the repository's root. `make` writes three sets: the embedded icons and emoji, and photographs of scikit-image
and scikit-learn cut into parts; the test writes the pairs that the library finds; `tell` prints recall and false pairs of
each. Of imagededup only the hashes are asked: its network comes from a server that is no package registry. CleanVision's
near duplicates are pictures with one and the same pHash of the package imagehash.

A pair counts as false where its two pictures were made from different ones and their pixels differ.
"""

import collections
import io
import pathlib
import random
import sys
import types

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

KINDS = ["png again", "JPEG 95", "JPEG 50", "JPEG 30", "resized to 70%", "brighter by 15%", "cropped by 5%", "mirrored"]
ORIGINALS = 100


def jpeg(quality):
    def save(image):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(io.BytesIO(file.getvalue())).convert("RGB")

    return save


def crop(image):
    across, down = round(image.width * 0.05), round(image.height * 0.05)
    return image.crop((across, down, image.width - across, image.height - down))


MAKE = {
    "png again": lambda image: image,
    "JPEG 95": jpeg(95),
    "JPEG 50": jpeg(50),
    "JPEG 30": jpeg(30),
    "resized to 70%": lambda image: image.resize((round(image.width * 0.7), round(image.height * 0.7)), Image.BICUBIC),
    "brighter by 15%": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "cropped by 5%": crop,
    "mirrored": ImageOps.mirror,
}


def embedded(name):
    import pyarrow.parquet as pq

    for row in pq.read_table(f"data_manifests/embedded/{name}.parquet", columns=["image"]).column("image").to_pylist():
        yield Image.open(io.BytesIO(row["bytes"])).convert("RGB")


def photographs():
    """Parts of 192 pixels, side by side, so that none shows what another shows."""
    import skimage.data
    import sklearn.datasets

    of_skimage = pathlib.Path(skimage.data.__file__).parent
    names = "astronaut chelsea coffee rocket retina hubble_deep_field motorcycle_left ihc camera moon coins brick grass"
    files = [next(of_skimage.glob(name + ".*")) for name in [*names.split(), "gravel"]]
    files += sorted((pathlib.Path(sklearn.datasets.__file__).parent / "images").glob("*.jpg"))
    for file in files:
        image = Image.open(file).convert("RGB")
        if max(image.size) > 1600:
            image.thumbnail((1600, 1600))
        for top in range(0, image.height - 191, 192):
            for left in range(0, image.width - 191, 192):
                yield image.crop((left, top, left + 192, top + 192))


def make(folder):
    for name, images in [("icons", embedded("icons")), ("openemoji", embedded("openemoji")), ("photos", photographs())]:
        place = pathlib.Path(folder) / name
        place.mkdir(parents=True, exist_ok=True)
        images = list(images)
        lines = []
        for i, image in enumerate(images):
            image.save(place / f"{i:05}.png")
            lines.append(f"{i:05}.png\t{i}\toriginal")
        # Not of one colour: a copy of such a picture cannot be told from another such picture.
        lively = [i for i, image in enumerate(images) if np.asarray(image.convert("L")).std() > 8]
        for i in sorted(random.Random(0).sample(lively, ORIGINALS)):
            for kind in KINDS:
                file = f"{i:05}-{KINDS.index(kind)}.png"
                MAKE[kind](images[i]).save(place / file)
                lines.append(f"{file}\t{i}\t{kind}")
        (place / "list.tsv").write_text("\n".join(lines) + "\n")
        print(name, len(images), "pictures and", len(lines) - len(images), "copies")


def close(hashes, most):
    """Pairs of 64-bit hashes that differ in at most so many bits."""
    hashes = np.array(hashes, dtype=np.uint64)
    for a in range(len(hashes) - 1):
        for b in np.nonzero(count(hashes[a] ^ hashes[a + 1 :]) <= most)[0]:
            yield a, a + 1 + int(b)


BITS = np.array([bin(i).count("1") for i in range(256)], dtype=np.uint8)


def count(words):
    return BITS[words.view(np.uint8).reshape(-1, 8)].sum(1)


def tell(folder):
    import imagehash

    # Its network, which needs PyTorch, is left out.
    for module, name in [("methods.cnn", "CNN"), ("utils.models", "CustomModel")]:
        sys.modules[f"imagededup.{module}"] = types.SimpleNamespace(**{name: None})
    from imagededup.methods import DHash, PHash

    for name in ["photos", "icons", "openemoji"]:
        place = pathlib.Path(folder) / name
        rows = [line.split("\t") for line in (place / "list.tsv").read_text().splitlines()]
        images = [Image.open(place / file).convert("RGB") for file, _, _ in rows]
        pixels = [image.tobytes() for image in images]
        found = {}
        for title, method in [("imagededup PHash", PHash()), ("imagededup DHash", DHash())]:
            hashes = [int(method.encode_image(image_array=np.asarray(image)), 16) for image in images]
            found[f"{title}, 10 bits"] = close(hashes, 10)
        found["CleanVision"] = close([int(str(imagehash.phash(image, hash_size=8)), 16) for image in images], 0)
        for file in sorted(place.glob("pairs*.txt")):
            found[f"ours ({file.stem})"] = [tuple(map(int, line.split()[:2])) for line in file.read_text().splitlines()]
        for title, pairs in found.items():
            recall, false, among = collections.Counter(), 0, 0
            for a, b in pairs:
                (_, of_a, kind_a), (_, of_b, kind_b) = rows[a], rows[b]
                if of_a == of_b:
                    if kind_a == "original":
                        recall[kind_b] += 1
                elif pixels[a] != pixels[b]:
                    false += 1
                    among += kind_a == kind_b == "original"
            counts = [str(recall[kind]) for kind in KINDS] + [f"false {false}, originals alone {among}"]
            print(name, title, *counts, sep=" | ", flush=True)


if __name__ == "__main__":
    {"make": make, "tell": tell}[sys.argv[1]](sys.argv[2])
