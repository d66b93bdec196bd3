"""Golden values of a tiny ViT, from timm's VisionTransformer with every parameter away from its initial value.

    python tests/reference/vit.py            (from the repository's root; versions in requirements-efficientnet.txt)

Writes tests/golden/vit/tiny.safetensors: weights.* under timm's names, images, cls and patch_mean (both after the final
layer norm).
"""

import pathlib

import timm
import torch
from safetensors.torch import save_file


def main():
    torch.manual_seed(0)
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=24, patch_size=8, embed_dim=32, depth=2, num_heads=4, mlp_ratio=3.0, num_classes=0).eval()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(0.15 * torch.randn_like(tensor))
    images = torch.randn(3, 3, 24, 24)
    with torch.inference_mode():
        tokens = model.forward_features(images)
    out = {f"weights.{n}": t for n, t in model.state_dict().items()}
    out |= {"images": images, "cls": tokens[:, 0], "patch_mean": tokens[:, 1:].mean(1)}
    path = pathlib.Path("tests/golden/vit/tiny.safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({n: t.contiguous() for n, t in out.items()}, path)
    path.chmod(0o644)
    print(path, path.stat().st_size, "bytes;", sorted(n for n in out if ".blocks.0." in n or "blocks" not in n))
    print("eps", model.norm.eps, tokens.std().item())


if __name__ == "__main__":
    main()
