"""The Python twin of the benchmarks of backbones and fine-tuning: the same models in PyTorch, driven over standard input.

Reads one JSON command a line and answers one JSON line; the first line it writes are versions and threads.

    {"work": "load", "model": "vit_b16.in21k_ft_in1k"}     random weights; optional: "size" (224), "device" ("cpu")
    {"work": "forward", "batch": 8}                        pooled features, in eval and inference mode
    {"work": "train", "batch": 8, "classes": 10}           features, linear head, cross-entropy, backward, Adam
    {"work": "epoch", "train": 96, "val": 32, "batch": 16, "classes": 10, "workers": 2}
                                                           the second of two epochs of fine-tuning: batches of normalised
                                                           uint8 squares from a DataLoader, training, validation
    {"work": "free"}

Times are seconds of one call, without warming up. Threads follow OMP_NUM_THREADS. Eager PyTorch as a user would have
it: scaled dot product attention, torch.optim.Adam as it comes, convolutional networks channels last. (Batch 4 on one
thread: EfficientNet-B2 0.09 against 0.10 s forward and 0.35 against 0.45 s a training step, ConvNeXt tiny 0.37 against
0.43 s and 1.30 against 1.38 s, and timm's ConvNeXt no faster than transformers'.)
"""

import gc
import json
import os
import pathlib
import sys
import time

import open_clip
import timm
import torch
import torchvision
import transformers
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests/reference"))
import backbones  # noqa: E402

backbones.ATTENTION = "sdpa"


def pocket():
    """This project's own small ViT, on which no published checkpoint is based."""
    return VisionTransformer(img_size=48, patch_size=8, embed_dim=128, depth=6, num_heads=4, num_classes=0, mlp_ratio=4)


class Squares(Dataset):
    """Decoded images in memory, normalised one by one as torchvision's users have it."""

    def __init__(self, n, size, classes):
        self.squares = torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8)
        self.labels = torch.arange(n) % classes
        self.transform = v2.Compose([
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ])

    def __len__(self):
        return len(self.squares)

    def __getitem__(self, i):
        return self.transform(self.squares[i]), self.labels[i]


class Loaded:
    def __init__(self, command):
        torch.manual_seed(0)
        self.size, self.device = command.get("size", 224), torch.device(command.get("device", "cpu"))
        self.head = self.optimizer = None
        if command["model"] == "vit_pocket_patch8_48":
            self.model = self.feature = pocket().to(self.device)
            self.layout = torch.contiguous_format
            return
        reference = backbones.FULL[command["model"]][1](self.size)
        model = self.model = reference.model
        backbones.published_like(model)
        backbones.running_statistics(model, lambda: backbones.images(2, self.size))
        convolutional = reference.tokens is None
        self.layout = torch.channels_last if convolutional else torch.contiguous_format
        model.eval().to(self.device, memory_format=self.layout)
        if convolutional:
            self.feature = reference.pooled
        elif command["model"].startswith("clip"):
            self.feature = lambda x: model.vision_model(x).pooler_output
        elif reference.default == "cls":
            self.feature = lambda x: reference.tokens(x)[:, 0]
        else:
            self.feature = lambda x: reference.tokens(x).mean(1)

    def images(self, command):
        size = command.get("size", self.size)
        return torch.randn(command["batch"], 3, size, size, device=self.device)

    def seconds(self, work):
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        result = work()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start, result

    def forward(self, command):
        self.model.eval()
        images = self.images(command)
        with torch.inference_mode():
            seconds, features = self.seconds(lambda: self.feature(images.contiguous(memory_format=self.layout)))
        return {"seconds": seconds, "features": list(features.shape)}

    def train(self, command):
        self.model.train()
        images, classes = self.images(command), command["classes"]
        labels = torch.arange(command["batch"], device=self.device) % classes
        self.prepare(images[:2], classes)
        seconds, loss = self.seconds(lambda: self.step(images, labels))
        return {"seconds": seconds, "loss": loss.item()}

    def prepare(self, images, classes):
        """A head for so many classes, and Adam."""
        if self.head is None or self.head.out_features != classes:
            with torch.no_grad():
                features = self.feature(images.contiguous(memory_format=self.layout)).shape[1]
            self.head = nn.Linear(features, classes).to(self.device)
            self.optimizer = torch.optim.Adam([*self.model.parameters(), *self.head.parameters()], lr=1e-5)

    def step(self, images, labels):
        self.optimizer.zero_grad()
        logits = self.head(self.feature(images.contiguous(memory_format=self.layout)))
        loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def epoch(self, command):
        classes, batch = command["classes"], command["batch"]
        training, validation = (Squares(command[name], self.size, classes) for name in ("train", "val"))
        options = {"batch_size": batch, "num_workers": command["workers"], "persistent_workers": True}
        training = DataLoader(training, shuffle=True, **options)
        validation = DataLoader(validation, **options)
        self.prepare(torch.randn(2, 3, self.size, self.size, device=self.device), classes)

        def once():
            self.model.train()
            for images, labels in training:
                loss = self.step(images.to(self.device), labels.to(self.device))
            self.model.eval()
            total, right = 0.0, 0
            with torch.inference_mode():
                for images, labels in validation:
                    logits = self.head(self.feature(images.to(self.device, memory_format=self.layout)))
                    labels = labels.to(self.device)
                    total += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
                    right += (logits.argmax(1) == labels).sum().item()
            return loss.item(), total, right

        once()
        seconds, (loss, total, right) = self.seconds(once)
        return {"seconds": seconds, "loss": loss, "val_loss": total / command["val"], "right": right}


def main():
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    print(json.dumps({"Python": sys.version.split()[0], "torch": torch.__version__,
                      "torchvision": torchvision.__version__, "transformers": transformers.__version__,
                      "timm": timm.__version__, "open_clip": open_clip.__version__,
                      "threads": torch.get_num_threads()}), flush=True)
    loaded = None
    for line in sys.stdin:
        command = json.loads(line)
        if command["work"] in ("load", "free"):
            loaded = None
            gc.collect()
            if command["work"] == "load":
                loaded = Loaded(command)
                answer = {"parameters": sum(p.numel() for p in loaded.model.parameters())}
            else:
                answer = {}
        else:
            works = {"forward": loaded.forward, "train": loaded.train, "epoch": loaded.epoch}
            answer = works[command["work"]](command)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
