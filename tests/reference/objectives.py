"""Golden values of the pretraining objectives, from PyTorch: each value, and its gradient in every input that has one.

    python tests/reference/objectives.py     (from the repository's root; versions in requirements-backbones.txt)

writes tests/golden/objectives/OBJECTIVE.safetensors. A case holds its inputs and `value`; `grad.INPUT` for every input
with a gradient; `upstream`, the weights of the sum that the gradients are of, where the value is no scalar; and
`parameters`, the numbers passed beside the tensors, in float64. Everything else is float32, labels uint32.

Each formula is written here from its paper. It runs in float64 on inputs that float32 holds exactly, and that is what
is stored; it runs in float32 once more, and the difference is printed: what rounding alone makes of it. Where PyTorch
has a function for the same thing, both must agree to 1e-12.

| here | paper | repository and file for comparison |
|---|---|---|
| clip | Radford et al. 2021, figure 3 | mlfoundations/open_clip, src/open_clip/loss.py |
| dino | Caron et al. 2021, algorithm 1 and section 3.1 | facebookresearch/dino, main_dino.py and vision_transformer.py |
| mae | He et al. 2022, sections 3 and 4.1 | facebookresearch/mae, models_mae.py |
| beit | Bao et al. 2022, section 2.3 | microsoft/unilm, beit/engine_for_pretraining.py |
| tokenizer | Ramesh et al. 2021, section 2.1; Jang et al. 2017; Rolfe 2017 | openai/DALL-E holds no training code |
| data2vec | Baevski et al. 2022, sections 3.3 and 3.4; data2vec 2.0, section 3.2 | fairseq, examples/data2vec/models/data2vec2.py |
| supervised | Szegedy et al. 2016, section 7 | PyTorch's CrossEntropyLoss |
| schedule | Loshchilov and Hutter 2017, equation 5 | facebookresearch/dino, utils.py |
"""

import math
import pathlib
import warnings

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

FOLDER = pathlib.Path("tests/golden/objectives")
B, K, D = 6, 40, 16


def log_softmax(z):
    return z - z.logsumexp(-1, keepdim=True)


def softmax(z):
    raised = (z - z.amax(-1, keepdim=True)).exp()
    return raised / raised.sum(-1, keepdim=True)


def unit(x):
    return x / x.pow(2).sum(-1, keepdim=True).sqrt()


# -- CLIP: the pairs of a batch against all other pairings, both ways.

def clip_loss(image_features, text_features, logit_scale):
    logits = logit_scale.exp() * unit(image_features) @ unit(text_features).T
    return -(log_softmax(logits).diagonal().mean() + log_softmax(logits.T).diagonal().mean()) / 2


def clip_by_torch(image_features, text_features, logit_scale):
    logits = logit_scale.exp() * F.cosine_similarity(image_features[:, None], text_features[None], dim=-1)
    pairs = torch.arange(len(logits))
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


# -- DINO: every view of the student learns what the teacher says of the other global views.

def dino_loss(student, teacher, centre, student_temperature, teacher_temperature):
    pairs = []
    for i, t in enumerate(teacher):
        p = softmax((t.detach() - centre.detach()) / teacher_temperature)
        for j, s in enumerate(student):
            if j != i:
                pairs.append(-(p * log_softmax(s / student_temperature)).sum(-1).mean())
    return sum(pairs) / len(pairs)


def dino_by_torch(student, teacher, centre, student_temperature, teacher_temperature):
    pairs = [F.cross_entropy(s / student_temperature, ((t - centre) / teacher_temperature).softmax(-1).detach())
             for i, t in enumerate(teacher) for j, s in enumerate(student) if j != i]
    return torch.stack(pairs).mean()


def next_centre(centre, teacher, momentum):
    return momentum * centre + (1 - momentum) * torch.stack(teacher).mean((0, 1))


def prototypes(bottleneck, weights):
    return unit(bottleneck) @ unit(weights).T


def prototypes_by_torch(bottleneck, weights):
    ones = torch.ones(len(weights), 1, dtype=weights.dtype)
    return F.linear(F.normalize(bottleneck), torch._weight_norm(weights, ones, 0))


# -- MAE: the pixels of masked patches, each patch with mean 0 and variance 1. A patch lies as channel, row, column, as
# the project's `ops::patches` has it. He et al. have the channel last: other order of the outputs, the same loss.

def cut(images, patch):
    b, c, h, w = images.shape
    x = images.reshape(b, c, h // patch, patch, w // patch, patch)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(b, (h // patch) * (w // patch), c * patch * patch)


def reconstruction_loss(predicted, images, masked, patch):
    x = cut(images, patch)
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.pow(2).sum(-1, keepdim=True) / (x.shape[-1] - 1)
    by_patch = (predicted - centred / (variance + 1e-6).sqrt()).pow(2).mean(-1)
    return (by_patch * masked).sum() / masked.sum()


def reconstruction_by_torch(predicted, images, masked, patch):
    x = F.unfold(images, patch, stride=patch).transpose(1, 2)
    x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-6) ** 0.5

    def channels_last(rows):
        return rows.unflatten(-1, (images.shape[1], -1)).transpose(-1, -2).flatten(-2)

    kept = masked.bool()
    return F.mse_loss(channels_last(predicted)[kept], channels_last(x)[kept])


# -- BEiT, and a label with smoothing.

def masked_token_loss(logits, codes):
    return -log_softmax(logits).gather(1, codes.long()[:, None]).mean()


def smoothed_cross_entropy(logits, labels, smoothing):
    """The target is 1 - smoothing at the label, and smoothing / K everywhere, the label included."""
    z = log_softmax(logits)
    at_label = z.gather(1, labels.long()[:, None])[:, 0]
    return -((1 - smoothing) * at_label + smoothing * z.mean(-1)).mean()


# -- The tokenizer, a discrete VAE.

def relaxed_codes(logits, gumbel, temperature):
    return softmax((logits + gumbel) / temperature)


def kl_to_uniform(logits):
    z = log_softmax(logits)
    return (z.exp() * (z + math.log(logits.shape[-1]))).sum(-1).mean()


def kl_by_torch(logits):
    q, uniform = (torch.distributions.Categorical(logits=x) for x in (logits, torch.zeros_like(logits)))
    return torch.distributions.kl_divergence(q, uniform).mean()


# -- data2vec. Targets as data2vec 2.0 makes them: each layer normalised over the tokens of an image, channel by channel,
# then averaged, then normalised over channels.

def standardise(x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()


def targets(layers):
    of_image = [standardise(x.detach().transpose(1, 2)).transpose(1, 2) for x in layers]
    return standardise(sum(of_image) / len(layers))


def targets_by_torch(layers):
    dim = layers[0].shape[-1:]
    of_image = [F.instance_norm(x.transpose(1, 2)).transpose(1, 2) for x in layers]
    return F.layer_norm(torch.stack(of_image).mean(0), dim)


def smooth_l1(predicted, targets, beta):
    off = (predicted - targets.detach()).abs()
    return torch.where(off < beta, off.pow(2) / (2 * beta), off - beta / 2).mean()


# -- The schedule. Step 0 already has a rate above 0, and step `warm_up` has `start`; DINO's file warms up from 0 and
# reaches it one step earlier, MAE's counts in fractions of an epoch.

def cosine(start, end, warm_up, total, step):
    if step < warm_up:
        return start * (step + 1) / warm_up
    turn = math.pi * (step - warm_up) / (total - warm_up)
    return end + (start - end) * (1 + math.cos(turn)) / 2


def cosine_by_torch(start, end, warm_up, total):
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=start)
    half = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=total - warm_up, eta_min=end)
    if warm_up > 0:
        rise = torch.optim.lr_scheduler.LinearLR(optimiser, start_factor=1 / warm_up, total_iters=warm_up - 1)
        half = torch.optim.lr_scheduler.SequentialLR(optimiser, [rise, half], milestones=[warm_up])
    rates = []
    for _ in range(total + 1):
        rates.append(half.get_last_lr()[0])
        optimiser.step()
        half.step()
    return rates


# -- Cases.

class Golden:
    """The cases of one file."""

    def __init__(self, name):
        self.name, self.tensors, self.rows = name, {}, []

    def case(self, name, function, inputs, parameters=(), trained=(), by_torch=None, fixed=False):
        """`inputs`: name to float32 tensor, or to a list of them, stored as NAME.0, NAME.1, ...; `trained`: which of
        them have a gradient; `fixed`: the value has none at all."""
        flat = {}
        for key, x in inputs.items():
            flat |= {f"{key}.{i}": t for i, t in enumerate(x)} if isinstance(x, list) else {key: x}
        leaves = [n for n in flat if n.split(".")[0] in trained]
        upstream = None
        found = {}
        for dtype in (torch.float64, torch.float32):
            own = {n: t.to(dtype, copy=True) if t.is_floating_point() else t for n, t in flat.items()}
            for n in own:
                own[n].requires_grad_(own[n].is_floating_point())
            grouped = [[own[f"{k}.{i}"] for i in range(len(x))] if isinstance(x, list) else own[k]
                       for k, x in inputs.items()]
            value = function(*grouped, *parameters)
            if upstream is None and value.dim() > 0 and not fixed:
                upstream = torch.randn(value.shape)
            if not fixed:
                (value if upstream is None else (value * upstream.to(dtype)).sum()).backward()
            for n in leaves:
                assert own[n].grad is not None, f"{self.name}.{name}: no gradient in {n}"
            found[dtype] = {"value": value.detach()} | {f"grad.{n}": own[n].grad for n in leaves}
            if dtype == torch.float64 and by_torch is not None:
                theirs = by_torch(*grouped, *parameters).detach()
                off = (value.detach() - theirs).abs().max().item()
                assert off < 1e-12 * max(1, theirs.abs().max().item()), f"{self.name}.{name}: PyTorch's differs: {off}"
        exact, rounded = found.values()
        off = {n: ((rounded[n] - exact[n]).abs().max() / exact[n].abs().max().clamp_min(1e-30)).item() for n in exact}
        worst = max(off, key=off.get)
        self.rows.append((name, off["value"], worst, off[worst]))
        stored = flat | {n: t.float() for n, t in exact.items()}
        if upstream is not None:
            stored["upstream"] = upstream
        if parameters:
            stored["parameters"] = torch.tensor(parameters, dtype=torch.float64)
        self.tensors |= {f"{name}.{n}": t for n, t in stored.items()}

    def write(self):
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{self.name}.safetensors"
        save_file({n: t.detach().contiguous() for n, t in self.tensors.items()}, path)
        path.chmod(0o644)
        print(f"{path}: {path.stat().st_size} bytes")
        for name, value, worst, off in self.rows:
            print(f"  {name:12} float32 differs by {value:.1e} in the value, at most by {off:.1e} ({worst})")
        return path.stat().st_size


def clip():
    golden = Golden("clip")
    for name, b, scale, alike in (("start", B, math.log(1 / 0.07), 0.0), ("sharp", B, math.log(100), 0.01),
                                  ("two", 2, 0.0, 0.0)):
        image_features = torch.randn(b, D) * 3
        text_features = torch.randn(b, D) / 4 + alike * image_features
        inputs = {"image_features": image_features, "text_features": text_features, "logit_scale": torch.tensor(scale)}
        golden.case(name, clip_loss, inputs, trained=inputs, by_torch=clip_by_torch)
    return golden


def dino():
    golden = Golden("dino")
    # Views of the student, the two temperatures, and what the logits are multiplied with.
    for name, n_views, temperatures, spread in (("start", 2, (0.1, 0.04), 0.2), ("local", 6, (0.1, 0.07), 0.2),
                                                ("mild", 3, (1.0, 0.5), 1.0)):
        inputs = {"student": [torch.randn(B, K) * spread for _ in range(n_views)],
                  "teacher": [torch.randn(B, K) * spread for _ in range(2)], "centre": torch.randn(K) * spread / 2}
        golden.case(name, dino_loss, inputs, temperatures, ["student"], dino_by_torch)
    # Logits whose exponentials overflow; whole numbers, so that float32 loses nothing on the way.
    inputs = {"student": [torch.randint(-20, 21, (B, K)) * 1.0 for _ in range(4)],
              "teacher": [torch.randint(-60, 61, (B, K)) * 1.0 for _ in range(2)],
              "centre": torch.randint(-9, 10, (K,)) * 1.0}
    golden.case("large", dino_loss, inputs, (0.125, 0.0625), ["student"], dino_by_torch)

    inputs = {"centre": torch.randn(K), "teacher": [torch.randn(B, K) + 1 for _ in range(2)]}
    golden.case("centre", next_centre, inputs, (0.9,), fixed=True)
    inputs = {"bottleneck": torch.randn(B, D) * 3, "weights": torch.randn(K, D) / 4}
    golden.case("prototypes", prototypes, inputs, trained=inputs, by_torch=prototypes_by_torch)
    return golden


def mae():
    golden = Golden("mae")
    for name, b, (h, w), patch in (("square", 2, (24, 24), 4), ("wide", 3, (8, 24), 8)):
        n_patches = (h // patch) * (w // patch)
        images = torch.rand(b, 3, h, w)
        # Nearly flat: here a patch's variance is of the size of what is added to it.
        flat = 0.5 + torch.randint(-1, 2, (3, patch, patch)) / 1024
        images[0, :, :patch, patch:2 * patch] = flat
        masked = (torch.rand(b, n_patches) < 0.6).float()
        masked[0, 1] = 1
        inputs = {"predicted": torch.randn(b, n_patches, 3 * patch * patch), "images": images, "masked": masked}
        golden.case(name, reconstruction_loss, inputs, (patch,), ["predicted"], reconstruction_by_torch)
    return golden


def beit():
    golden = Golden("beit")
    for name, m, spread in (("start", 20, 1.0), ("sure", 20, 30.0), ("one", 1, 1.0)):
        inputs = {"logits": torch.randn(m, K) * spread, "codes": torch.randint(0, K, (m,)).to(torch.uint32)}
        golden.case(name, masked_token_loss, inputs, trained=["logits"],
                    by_torch=lambda logits, codes: F.cross_entropy(logits, codes.long()))
    return golden


def tokenizer():
    golden = Golden("tokenizer")
    for name, temperature in (("relaxed", 1.0), ("cool", 0.5), ("cold", 0.0625)):
        # 64ths, so that float32 loses nothing on the way to the exponential.
        gumbel = -torch.log(-torch.log(torch.rand(20, K).clamp(1e-6, 1 - 1e-6)))
        inputs = {n: (t * 64).round() / 64 for n, t in (("logits", torch.randn(20, K)), ("gumbel", gumbel))}
        golden.case(name, relaxed_codes, inputs, (temperature,), ["logits"],
                    lambda logits, gumbel, temperature: ((logits + gumbel) / temperature).softmax(-1))
    golden.case("kl", kl_to_uniform, {"logits": torch.randn(20, K)}, trained=["logits"], by_torch=kl_by_torch)
    # About half of the probabilities are 0 in float32.
    logits = (torch.randn(20, K) * 64).round() / 64 + torch.randint(0, 2, (20, K)) * 150
    golden.case("kl_sharp", kl_to_uniform, {"logits": logits}, trained=["logits"], by_torch=kl_by_torch)
    # Many equals; one row of nothing else.
    logits = torch.randint(-3, 4, (20, K)) * 1.0
    logits[7] = -2
    golden.tensors |= {"codes.logits": logits, "codes.value": logits.argmax(-1).to(torch.uint32)}
    return golden


def data2vec():
    golden = Golden("data2vec")
    for name, n_layers, b in (("targets", 3, B), ("one_layer", 1, 2)):
        layers = [torch.randn(b, 9, D) * 4 ** (i - 1) + i for i in range(n_layers)]
        golden.case(name, targets, {"layers": layers}, by_torch=targets_by_torch, fixed=True)
    for name, beta in (("l1", 2.0), ("l1_narrow", 0.125)):
        predicted, target = torch.randn(20, D), torch.randn(20, D)
        predicted[0] = target[0]
        predicted[1], target[1] = beta, 0
        golden.case(name, smooth_l1, {"predicted": predicted, "targets": target}, (beta,), ["predicted"],
                    lambda predicted, targets, beta: F.smooth_l1_loss(predicted, targets, beta=beta))
    return golden


def supervised():
    golden = Golden("supervised")
    for name, smoothing in (("plain", 0.0), ("smooth", 0.1), ("half", 0.5)):
        inputs = {"logits": torch.randn(B, K) * 3, "labels": torch.randint(0, K, (B,)).to(torch.uint32)}
        golden.case(name, smoothed_cross_entropy, inputs, (smoothing,), ["logits"],
                    lambda logits, labels, s: F.cross_entropy(logits, labels.long(), label_smoothing=s))
    return golden


def schedule():
    """Rows of start, end, warm_up, total, step; all in float64."""
    golden = Golden("schedule")
    rows = []
    for start, end, warm_up, total in ((1e-3, 1e-5, 10, 100), (0.5, 0.0, 3, 8), (0.996, 1.0, 0, 50)):
        theirs = cosine_by_torch(start, end, warm_up, total)
        for step in range(total + 1):
            value = cosine(start, end, warm_up, total, step)
            assert abs(value - theirs[step]) < 1e-12, (start, end, warm_up, total, step, value, theirs[step])
        turns = {0, 1, warm_up // 2, warm_up - 1, warm_up, warm_up + 1, (warm_up + total) // 2, total - 1, total}
        rows += [(start, end, warm_up, total, step) for step in sorted(turns) if step >= 0]
    golden.tensors = {"rows": torch.tensor(rows, dtype=torch.float64),
                      "value": torch.tensor([cosine(*row) for row in rows], dtype=torch.float64)}
    return golden


def main():
    warnings.filterwarnings("ignore", message="The epoch parameter in")
    torch.set_num_threads(1)
    size = 0
    for i, objective in enumerate((clip, dino, mae, beit, tokenizer, data2vec, supervised, schedule)):
        torch.manual_seed(i)
        size += objective().write()
    print(size, "bytes in all")


if __name__ == "__main__":
    main()
