"""Golden values of the depthwise convolution, from PyTorch: forward, and both gradients for a given upstream gradient.

    python tests/reference/depthwise.py      (from the repository's root; versions in requirements-efficientnet.txt)

Writes tests/golden/ops/depthwise.safetensors. Each case holds x (B, C, H, W), w (C, 1, K, K), g like y, y, gx, gw and
spec = [stride, top, bottom, left, right]. Channel counts cross the kernel's blocks of 64 and 16 and leave a remainder.
"""

import pathlib

import torch
from safetensors.torch import save_file

CASES = {
    # name: (batch, channels, height, width, kernel, stride, (top, bottom, left, right))
    "k3": (2, 19, 9, 7, 3, 1, (1, 1, 1, 1)),
    "k3_stride2_odd": (2, 17, 9, 7, 3, 2, (1, 1, 1, 1)),
    "k3_stride2_same": (1, 16, 8, 8, 3, 2, (0, 1, 0, 1)),
    "k5_stride2_same": (2, 5, 11, 8, 5, 2, (2, 2, 1, 2)),
    "k5_blocks": (1, 83, 5, 6, 5, 1, (2, 2, 2, 2)),
    "k7": (2, 3, 8, 9, 7, 1, (3, 3, 3, 3)),
    "k7_smaller_image": (1, 4, 3, 2, 7, 1, (3, 3, 3, 3)),
    "k3_valid_stride3": (1, 6, 10, 11, 3, 3, (0, 0, 0, 0)),
    "k2_uneven": (1, 3, 6, 5, 2, 1, (3, 0, 0, 2)),
}


def main():
    torch.manual_seed(0)
    out = {}
    for name, (b, c, h, w, k, stride, (top, bottom, left, right)) in CASES.items():
        x = torch.randn(b, c, h, w, requires_grad=True)
        kernel = torch.randn(c, 1, k, k, requires_grad=True)
        padded = torch.nn.functional.pad(x, (left, right, top, bottom))
        y = torch.nn.functional.conv2d(padded, kernel, stride=stride, groups=c)
        g = torch.randn_like(y)
        y.backward(g)
        out |= {f"{name}.x": x.detach(), f"{name}.w": kernel.detach(), f"{name}.g": g, f"{name}.y": y.detach(),
                f"{name}.gx": x.grad, f"{name}.gw": kernel.grad,
                f"{name}.spec": torch.tensor([stride, top, bottom, left, right], dtype=torch.int64)}
    path = pathlib.Path("tests/golden/ops/depthwise.safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({n: t.contiguous() for n, t in out.items()}, path)
    path.chmod(0o644)
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
