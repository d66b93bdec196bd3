"""CLIP's text towers beyond clip_text.expected.safetensors: open_clip's in small, and the full ones on 100 captions.

    python tests/reference/clip_text.py      (from the repository's root; versions in requirements-backbones.txt)

writes tests/golden/backbones/convnext_openclip_text.expected.safetensors: ids, features and logits of open_clip's CLIP
with the weights in convnext_openclip.weights.safetensors, on the images in convnext_openclip.expected.safetensors.

    python tests/reference/clip_text.py --out FOLDER

reads FOLDER/MODEL/model.safetensors as `backbones.py --full MODEL --out FOLDER` wrote it, for those of the two CLIP
models that are there, and writes FOLDER/MODEL/text_expected.safetensors: text_features (100, 512) of the captions in
tests/golden/tokenizer/captions.json.
"""

import argparse
import json
import pathlib

import torch
from backbones import FULL, GOLDEN, GOLDENS, write
from safetensors.torch import load_file

CAPTIONS = pathlib.Path("tests/golden/tokenizer/captions.json")
MODELS = {
    "clip_vit_b32.openai": lambda model, ids: model.get_text_features(ids).pooler_output,
    "convnext_base.clip_laion400m": lambda model, ids: model.encode_text(ids),
}


def with_weights(reference, path):
    state = {n: t for n, t in load_file(path).items() if n not in reference.extra}
    reference.model.load_state_dict(state)
    return reference.model.eval()


def small():
    name = "convnext_openclip"
    model = with_weights(GOLDENS[name](), GOLDEN / f"{name}.weights.safetensors")
    torch.manual_seed(0)
    start, end, context = 18, 19, 8
    words = [torch.randint(0, start, (n,)).tolist() for n in [2, 5, 0, 6, 1]]
    ids = torch.tensor([[start, *w, *[end] * (context - 1 - len(w))] for w in words])
    images = load_file(GOLDEN / f"{name}.expected.safetensors")["images"]
    with torch.inference_mode():
        out = {"ids": ids, "text_features": model.encode_text(ids), "image_features": model.encode_image(images),
               "logits_per_image": model.get_logits(images, ids)[0]}
    path = GOLDEN / f"{name}_text.expected.safetensors"
    print(path, write(path, out), "bytes", {n: tuple(t.shape) for n, t in out.items()})


def full(folder):
    ids = torch.tensor([caption["ids"] for caption in json.loads(CAPTIONS.read_text())])
    for name, text_features in MODELS.items():
        weights = folder / name / "model.safetensors"
        if not weights.exists():
            print(f"{weights}: not there")
            continue
        size, make = FULL[name]
        model = with_weights(make(size), weights)
        with torch.inference_mode():
            features = text_features(model, ids)
        path = folder / name / "text_expected.safetensors"
        write(path, {"ids": ids, "text_features": features})
        print(f"{path}: {tuple(features.shape)}, std {features.std():.3f}, "
              f"between captions {(features[0] - features[1]).std():.3f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    if arguments.out is None:
        small()
    else:
        full(arguments.out)


if __name__ == "__main__":
    main()
