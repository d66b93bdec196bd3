"""Golden values of fine-tuning, from PyTorch Lightning, which the study was trained with.

    python tests/reference/finetuning.py     (from the repository's root; versions in requirements-finetuning.txt)

writes tests/golden/finetuning/:

    images.safetensors    280 squares of bytes (N, 24, 24, 3), the class of each, and the positions of 76 training and
                          204 validation images; convolutional models see each pixel as 2 x 2
    FAMILY.safetensors    the new head as it begins, and behind RATE of 1e-5 (the study's; little moves in 50 steps) and
                          1e-3: losses by step, val_losses by epoch, and after the last step the logits of the
                          validation images and the running statistics of batch normalisation, running.NAME. Behind
                          "RATE held" the same of a run in which those parameters stay whose gradient is zero but for
                          rounding (backbones.py, `train`)
    early_stopping.json   curves of validation losses, and where Lightning's Trainer and EarlyStopping end them

and reads order.json there, the rows of each step, which `Epochs` gives:

    WIDER_CLIP_WRITE_FINETUNING_ORDER=1 cargo test --test finetuning_parity batches

The encoders are the small ones of backbones.py and begin with the weights of tests/golden/backbones/. All is as in the
study: Adam with PyTorch's defaults and no decay on every parameter, batches of 16 of which the last of an epoch is
smaller, cross-entropy, batch normalisation in training mode, neither dropout nor augmentation, a validation loss after
each epoch.

Each run is repeated with the rows of every batch the other way round, which changes nothing but rounding; what that
makes of the numbers is printed.
"""

import json
import logging
import pathlib
import warnings
import zlib

import lightning
import torch
from backbones import GOLDEN, GOLDENS, write
from lightning.pytorch.callbacks import EarlyStopping
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

FOLDER = pathlib.Path("tests/golden/finetuning")
SIDE, N, TRAIN, CLASSES, BATCH = 24, 280, 76, 5, 16
RATES = ["1e-5", "1e-3"]
FAMILIES = {"vit": 1, "clip": 1, "beit": 1, "convnext": 2, "efficientnet": 2}  # how many pixels wide they see one
MEAN, STD = (torch.tensor(values)[:, None, None] for values in [(0.485, 0.456, 0.406), (0.229, 0.224, 0.225)])


def squares():
    """Blots of a colour and shape by class, and noise. A fifth of the classes is drawn anew, so that losses stay above
    zero."""
    generator = torch.Generator().manual_seed(zlib.crc32(b"squares"))
    blots = torch.randn(CLASSES, 3, 4, 4, generator=generator)
    noise = torch.randn(N, 3, SIDE, SIDE, generator=generator)
    labels = torch.randint(CLASSES, (N,), generator=generator)
    images = nn.functional.interpolate(blots, size=(SIDE, SIDE), mode="bilinear")[labels]
    strength = torch.rand(N, 1, 1, 1, generator=generator)
    images = (127 + 40 * strength * images + 40 * noise).clamp(0, 255).to(torch.uint8)
    wrong = torch.rand(N, generator=generator) < 0.2
    labels[wrong] = torch.randint(CLASSES, (int(wrong.sum()),), generator=generator)
    order = torch.randperm(N, generator=generator)
    return {"squares": images.permute(0, 2, 3, 1), "labels": labels, "train": order[:TRAIN], "val": order[TRAIN:]}


def normalised(squares, factor):
    """As a model sees them: (N, 3, S, S)."""
    images = squares.permute(0, 3, 1, 2).repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    return (images.float() / 255 - MEAN) / STD


class Order:
    """The batches of epoch after epoch."""

    def __init__(self, steps, per_epoch):
        self.epochs = iter([steps[i:i + per_epoch] for i in range(0, len(steps), per_epoch)])
        self.per_epoch = per_epoch

    def __len__(self):
        return self.per_epoch

    def __iter__(self):
        return iter(next(self.epochs))


class FineTuning(lightning.LightningModule):
    """An encoder and a head that learn. Parameters called `held` do not."""

    def __init__(self, reference, head, rate, held):
        super().__init__()
        self.reference, self.encoder, self.head, self.rate = reference, reference.model, head, rate
        self.losses, self.val_losses = [], []
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad_(reference.name(name) not in held)

    def forward(self, images):
        return self.head(self.reference.features(images)[self.reference.default])

    def training_step(self, batch, _):
        images, labels = batch
        loss = cross_entropy(self(images), labels)
        self.losses.append(loss.detach())
        return loss

    def validation_step(self, batch, _):
        images, labels = batch
        self.log("val_loss", cross_entropy(self(images), labels), batch_size=len(labels))

    def on_train_epoch_end(self):
        self.val_losses.append(self.trainer.callback_metrics["val_loss"].clone())

    def configure_optimizers(self):
        return torch.optim.Adam([p for p in self.parameters() if p.requires_grad], lr=self.rate)


def fit(module, epochs, train, val, callbacks=()):
    trainer = lightning.Trainer(max_epochs=epochs, callbacks=list(callbacks), accelerator="cpu", logger=False,
                                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(module, train, val)
    return trainer


def begin(name):
    """The small model with the weights that its golden holds."""
    reference = GOLDENS[name]()
    held = load_file(GOLDEN / f"{name}.weights.safetensors")
    reference.model.load_state_dict({n: held[reference.name(n)] for n in reference.model.state_dict()})
    reference.model.eval()
    return reference


def without_gradient(name):
    """Parameters whose true gradient is zero, by the golden of their gradients."""
    tensors = load_file(GOLDEN / f"{name}.gradients.safetensors")
    return {n.removeprefix("grad.") for n, t in tensors.items() if n.startswith("grad.") and t.norm() < 1e-5}


def run(name, data, steps, rate, held):
    """The head as it begins, and what the steps leave, by name."""
    reference, images = begin(name), normalised(data["squares"], FAMILIES[name])
    with torch.no_grad():
        width = reference.features(images[:2])[reference.default].shape[1]
    torch.manual_seed(zlib.crc32(f"head of {name}".encode()))
    head = nn.Linear(width, CLASSES)
    start = {f"head.{n}": p.detach().clone() for n, p in head.named_parameters()}
    train, val = (TensorDataset(images[data[part]], data["labels"][data[part]]) for part in ["train", "val"])
    module = FineTuning(reference, head, float(rate), held).train()
    per_epoch = -(-TRAIN // BATCH)
    fit(module, len(steps) // per_epoch, DataLoader(train, batch_sampler=Order(steps, per_epoch)),
        DataLoader(val, batch_size=BATCH))
    assert module.training and len(module.losses) == len(steps)
    with torch.no_grad():
        logits = module.eval()(images[data["val"]])
    statistics = {f"running.{reference.name(n)}": b for n, b in reference.model.named_buffers()
                  if n.endswith(("running_mean", "running_var"))}
    return start, statistics | {"losses": torch.stack(module.losses), "val_losses": torch.stack(module.val_losses),
                                "logits": logits}


def apart(name, found, other):
    """The largest difference of losses over the loss; the difference of other tensors over their length."""
    off = (found - other).abs()
    return float((off / found).max() if "losses" in name else off.norm() / found.norm())


def report(what, found, again, labels):
    """Prints how a run went, and what another order of rows makes of it."""
    off = {n: apart(n, t, again[n]) for n, t in found.items()}
    statistics = max((o for n, o in off.items() if n.startswith("running.")), default=0)
    classes, others = found["logits"].argmax(1), again["logits"].argmax(1)
    losses, val_losses = ([f"{t[i]:.3f}" for i in (0, -1)] for t in (found["losses"], found["val_losses"]))
    print(f"{what}: losses {' to '.join(losses)}, validation {' to '.join(val_losses)}, "
          f"{100 * (classes == labels).float().mean():.0f} % right. Rounding: losses {off['losses']:.1e}, validation "
          f"{off['val_losses']:.1e}, logits {off['logits']:.1e}, running statistics {statistics:.1e}, "
          f"{(classes != others).sum()} other predictions", flush=True)


def family(name, data, steps):
    """All of a family's file."""
    kinds = {rate: (rate, set()) for rate in RATES}
    if name == "efficientnet":
        kinds |= {f"{rate} held": (rate, without_gradient(name)) for rate in RATES}
    out = {}
    for kind, (rate, held) in kinds.items():
        head, found = run(name, data, steps, rate, held)
        _, again = run(name, data, [rows[::-1] for rows in steps], rate, held)
        report(f"{name} at {kind}", found, again, data["labels"][data["val"]])
        out |= head | {f"{kind}.{n}": t for n, t in found.items()}
    return out


class Told(lightning.LightningModule):
    """Learns nothing that matters; its validation losses are told."""

    def __init__(self, values):
        super().__init__()
        self.values, self.weight = values, nn.Parameter(torch.ones(1))

    def training_step(self, batch, _):
        return (self.weight * batch[0]).sum()

    def validation_step(self, batch, _):
        self.log("val_loss", self.values[self.current_epoch])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


class Stopping(EarlyStopping):
    """Lightning's, and the epoch of the best value, counted from 1."""

    best_epoch = None

    def on_train_epoch_end(self, trainer, module):
        before = self.best_score
        super().on_train_epoch_end(trainer, module)
        if self.best_score is not before:
            self.best_epoch = trainer.current_epoch + 1


def curves():
    """Name, patience, epochs at most, values. Values go on behind the end, and would be the best there."""
    nan, inf = float("nan"), float("inf")
    falls = [1 / (1 + i) for i in range(40)]
    return [
        ("it falls to the end", 3, 12, falls),
        ("a plateau a little above the best", 30, 1000, [0.9, 0.7, 0.6, 0.55] + [0.5501, 0.56, 0.551] * 20 + [0.1] * 9),
        ("ties are no better", 3, 1000, [0.8, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1]),
        ("not a number in the middle", 30, 1000, [0.9, 0.8, 0.7, 0.75, nan, 0.1, 0.1]),
        ("infinity", 5, 1000, [0.9, 0.8, inf, 0.1, 0.1]),
        ("minus infinity", 5, 1000, [0.9, -inf, 0.1, 0.05]),
        ("not a number at first", 30, 1000, [nan, 0.5, 0.4]),
        ("better by less than single precision tells", 4, 1000, [0.5 - 1e-10 * i for i in range(9)] + [0.1] * 3),
        ("better by one step of single precision", 2, 8, [0.5 - 2**-25 * i for i in range(9)]),
        ("better in the last epoch that is waited for", 30, 1000,
         [0.5] + [0.6] * 29 + [0.4] + [0.45] * 29 + [0.39] + [0.7] * 30 + [0.1] * 5),
        ("never better", 30, 1000, [0.3 + 0.01 * i for i in range(31)] + [0.1] * 5),
        ("patience longer than the epochs", 30, 20, [0.5, 0.4] + [0.6] * 18 + [0.1] * 5),
        ("patience and epochs end together", 5, 7, [0.5, 0.4] + [0.6] * 5 + [0.1] * 5),
    ]


def early_stopping():
    """The curves with what ended them; values as text, which knows nan and inf."""
    out = []
    for name, patience, epochs, values in curves():
        stopping = Stopping("val_loss", patience=patience, mode="min")
        one = DataLoader(TensorDataset(torch.ones(2, 1)), batch_size=1)
        trainer = fit(Told(values), epochs, one, one, [stopping])
        found = {"epochs": trainer.current_epoch, "steps": trainer.global_step, "best": stopping.best_epoch,
                 "waited": stopping.wait_count, "reason": stopping.stopping_reason.name.lower()}
        given = {"name": name, "patience": patience, "max_epochs": epochs, "values": list(map(repr, values))}
        out.append(given | found)
        print(name, found, flush=True)
    return out


def main():
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    curves = ",\n".join(json.dumps(curve) for curve in early_stopping())
    (FOLDER / "early_stopping.json").write_text(f"[\n{curves}\n]\n")
    order = json.loads((FOLDER / "order.json").read_text())
    assert (order["images"], order["batch"]) == (TRAIN, BATCH)
    data = squares()
    total = write(FOLDER / "images.safetensors", data)
    for name in FAMILIES:
        total += write(FOLDER / f"{name}.safetensors", family(name, data, order["steps"]))
    print(total, "bytes of tensors")


if __name__ == "__main__":
    main()
