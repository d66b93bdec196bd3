"""PyTorch's side of the GPU check: the commands of main.rs, and these beside them.

    compiled on|off                  torch.compile around what is measured from then on
    write ARCHITECTURE SIZE FOLDER   weights under published names, images, and features
    draw FILE N Q D CLASSES          features and labels for the neighbours
    agree FILE                       the part of the queries that have the same class as in FILE.ours

f32 passes are what `tf32` makes of them. bf16: a frozen network is bf16 as a whole; a training step keeps its variables in
f32 and computes under autocast. Adam and attention as they come; convolutional networks channels last."""

import copy
import gc
import pathlib
import sys
import time

sys.dont_write_bytecode = True

import models  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

DTYPES = {"f32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
WARM_UP, RUNS, CLASSES = 3, 3, 10


class Twin:
    def __init__(self, device):
        self.device, self.loaded, self.compiled = torch.device(device), None, False
        torch.backends.cudnn.benchmark = True

    def answer(self, command, *words):
        return getattr(self, f"on_{command}")(*words) or []

    def on_facts(self):
        import timm
        import transformers
        facts = [("Python", sys.version.split()[0]), ("PyTorch", torch.__version__), ("CUDA of PyTorch", torch.version.cuda),
                 ("timm", timm.__version__), ("transformers", transformers.__version__)]
        if self.device.type == "cuda":
            facts.append(("cuDNN", torch.backends.cudnn.version()))
        return facts

    def on_tf32(self, choice):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = choice == "on"

    def on_compiled(self, choice):
        self.compiled = choice == "on"

    def on_load(self, name, _pooling, size):
        self.on_free()
        self.loaded = (name, int(size), models.build(name, int(size), self.device))

    def on_free(self):
        self.loaded = None
        torch._dynamo.reset()
        self.empty()

    def empty(self):
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, budget, step):
        """As in speed.rs: the median of runs of many steps."""
        def run(n):
            start = time.perf_counter()
            for _ in range(n):
                step()
            self.wait()
            return (time.perf_counter() - start) / n

        once = min(run(1) for _ in range(WARM_UP))
        n = max(1, min(500, int(float(budget) / RUNS / once)))
        return sorted(run(n) for _ in range(RUNS))[RUNS // 2]

    def measured(self, budget, step):
        cuda = self.device.type == "cuda"
        self.wait()
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        taken = self.seconds(budget, step)
        return [(taken, torch.cuda.max_memory_allocated() if cuda else "none")]

    def images(self, batch):
        name, size, _ = self.loaded
        x = torch.rand(int(batch), 3, size, size, device=self.device) * 4 - 2
        return x.contiguous(memory_format=models.layout(name))

    def made(self, work):
        return torch.compile(work, dynamic=False) if self.compiled else work

    def on_forward(self, batch, dtype, budget):
        model, dtype, x = self.loaded[2].eval(), DTYPES[dtype], self.images(batch)
        if dtype != torch.float32:
            model = copy.deepcopy(model).to(dtype)
        pass_ = self.made(model)
        try:
            with torch.no_grad() if self.compiled else torch.inference_mode():
                return self.measured(budget, lambda: pass_(x.to(dtype)))
        finally:
            del model, pass_, x
            self.empty()

    def on_train(self, batch, dtype, budget):
        model, dtype, x = self.loaded[2].train(), DTYPES[dtype], self.images(batch)
        labels = torch.arange(len(x), device=self.device) % CLASSES
        with torch.no_grad():
            width = model.eval()(x[:1]).shape[1]
        head = nn.Linear(width, CLASSES).to(self.device)
        model.train()
        trained = [p for p in [*model.parameters(), *head.parameters()] if p.requires_grad]
        adam = torch.optim.Adam(trained, lr=1e-5)

        def loss(x, labels):
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=dtype != torch.float32):
                return F.cross_entropy(head(model(x)), labels)

        loss = self.made(loss)

        def step():
            adam.zero_grad()
            loss(x, labels).backward()
            adam.step()

        try:
            return self.measured(budget, step)
        finally:
            model.zero_grad()
            del adam, loss, step, head, x
            self.empty()

    def on_operation(self, name, batch, dtype, budget):
        b, dtype = int(batch), DTYPES[dtype]

        def drawn(*shape):
            return ((torch.rand(*shape, device=self.device) - 0.5) / 5).to(dtype)

        def map_(channels, side):
            return drawn(b, channels, side, side).contiguous(memory_format=torch.channels_last)

        def fully(tokens, inputs, outputs, after=lambda x: x):
            x, w, bias = drawn(b, tokens, inputs), drawn(outputs, inputs), drawn(outputs)
            return lambda: after(F.linear(x, w, bias))

        def depthwise(side, channels, kernel, stride, after=lambda x: x):
            x, bias = map_(channels, side), drawn(channels)
            w = drawn(channels, 1, kernel, kernel).contiguous(memory_format=torch.channels_last)
            return lambda: after(F.conv2d(x, w, bias, stride, kernel // 2, groups=channels))

        def attention():
            qkv = drawn(b, 197, 3 * 768)

            def step():
                q, k, v = qkv.reshape(b, 197, 3, 12, 64).permute(2, 0, 3, 1, 4).unbind(0)
                return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, 197, 768)
            return step

        def layer_norm():
            x, w, bias = drawn(b, 197, 768), drawn(768), drawn(768)
            return lambda: F.layer_norm(x, (768,), w, bias, 1e-6)

        def residual():
            x, y, gamma = drawn(b, 3136, 128), drawn(b, 3136, 128), drawn(128)
            return lambda: x + y * gamma

        def patches():
            x, w, bias = drawn(b, 3, 224, 224), drawn(768, 3, 16, 16), drawn(768)
            return lambda: F.conv2d(x, w, bias, 16).flatten(2).transpose(1, 2)

        def squeeze():
            x = map_(288, 28)
            return lambda: x * x.mean((2, 3), keepdim=True)

        made = {
            "linear": lambda: fully(197, 3072, 768), "linear_gelu": lambda: fully(197, 768, 3072, F.gelu),
            "linear_gelu_convnext": lambda: fully(56 * 56, 128, 512, F.gelu), "attention": attention,
            "layer_norm": layer_norm, "residual_scaled": residual, "patches": patches, "squeeze": squeeze,
            "depthwise_7x7": lambda: depthwise(56, 128, 7, 1),
            "depthwise_3x3_silu": lambda: depthwise(56, 144, 3, 1, F.silu),
            "depthwise_5x5_by_2_silu": lambda: depthwise(28, 288, 5, 2, F.silu),
        }[name]()
        with torch.inference_mode():
            taken = self.seconds(budget, made)
        del made
        self.empty()
        return [(taken,)]

    def on_write(self, name, size, folder):
        self.on_tf32("off")
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        model, x = models.build(name, int(size), self.device), models.images(8, int(size), self.device)
        with torch.inference_mode():
            features = model(x.contiguous(memory_format=models.layout(name)))
        save_file({n: t.contiguous().cpu() for n, t in model.published().items()}, folder / "model.safetensors")
        out = {"images": x, "features": features}
        save_file({n: t.contiguous().cpu() for n, t in out.items()}, folder / "expected.safetensors")
        del model
        self.empty()

    def on_draw(self, file, n, q, d, classes):
        generator = torch.Generator().manual_seed(0)
        n, q, d, classes = int(n), int(q), int(d), int(classes)
        centres = torch.randn(classes, d, generator=generator)

        def rows(n):
            labels = torch.arange(n) % classes
            return centres[labels] + 3.0 * torch.randn(n, d, generator=generator), labels

        (references, labels), (queries, _) = rows(n), rows(q)
        save_file({"references": references, "labels": labels, "queries": queries}, file)

    def on_knn(self, file, k, rounds):
        """Squared distances by one product per 4,096 queries, the k smallest, and a vote; from arrays to an array."""
        held, k = load_file(file), int(k)
        n_classes = int(held["labels"].max()) + 1

        def classes():
            references, labels = held["references"].to(self.device), held["labels"].to(self.device)
            lengths = references.square().sum(1)
            found = []
            for queries in held["queries"].to(self.device).split(4096):
                nearest = (lengths - 2 * queries @ references.T).topk(k, largest=False).indices
                found.append(F.one_hot(labels[nearest], n_classes).sum(1).argmax(1))
            return torch.cat(found).cpu()

        taken = []
        for _ in range(int(rounds) + 1):
            start = time.perf_counter()
            self.classes = classes()
            taken.append(time.perf_counter() - start)
        self.empty()
        return [(sorted(taken[1:])[int(rounds) // 2],)]

    def on_agree(self, file):
        ours = load_file(f"{file}.ours")["classes"].long()
        return [((ours == self.classes).float().mean().item(),)]


def main():
    twin = Twin(sys.argv[1])
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries that print say it elsewhere
    for line in sys.stdin:
        try:
            rows, end = twin.answer(*line.split()), "done"
        except Exception as error:  # the driver says which command failed, and goes on
            rows, end = [], f"failed\t{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            twin.empty()
        print("".join("\t".join(map(str, row)) + "\n" for row in rows) + end, file=answers, flush=True)


if __name__ == "__main__":
    main()
