"""Golden values of the audit of the study's published figures: intervals, tests, places, regret, counts; from scipy and numpy.

    python -m venv .venv && .venv/bin/pip install -r tests/reference/requirements-metrics.txt
    .venv/bin/python tests/reference/published.py

Run from the repository's root; reads data_manifests/published/, writes tests/golden/published.json. Bootstraps over data sets count
every resample, so that nothing there is drawn; the two-way bootstrap of larger cases is drawn 200,000 times.
"""

import csv
import itertools
import json
import math
import pathlib

import numpy as np
from scipy import stats

Z = 1.959963984540054
PUBLISHED = pathlib.Path("data_manifests/published")
EFFICIENTNETS = {"efficientnet_b2", "efficientnet_b6"}
MASKED = ["ViTMAE", "Beit", "data2vec"]
GENERAL = ["dtd", "fgvc_aircraft", "flowers102", "isic", "patternnet", "ucmerced"]
DRIFT = ["fmow", "iwildcam"]
NINE = ["convnext_base", "convnext_tiny", "vit_b_16", "DINO", "CLIP", "Beit", "vit_b_32", "ViTMAE", "data2vec"]


# ------------------------------------------------------------------ arithmetic

def wilson(rate, n):
    middle, spread = rate + Z * Z / (2 * n), Z * math.sqrt(rate * (1 - rate) / n + Z * Z / (4 * n * n))
    return (middle - spread) / (1 + Z * Z / n), (middle + spread) / (1 + Z * Z / n)


def same_images(a, b, n):
    """The four p-values of two accuracies on the same images."""
    apart = abs(a - b)
    va, vb = a * (1 - a), b * (1 - b)

    def p(variance):
        return (1.0 if apart == 0 else 0.0) if variance <= 0 else float(2 * stats.norm.sf(apart / math.sqrt(variance / n)))

    discordant = round(apart * n)
    nested = min(1.0, 2 * stats.binom.cdf(0, discordant, 0.5)) if discordant else 1.0
    most_together = (va + vb - (apart - apart**2)) / 2
    covariance = min(0.5 * math.sqrt(va * vb), most_together)
    most_discordant = min(a + b, 2 - a - b)
    return nested, p(max(va + vb - 2 * covariance, 1e-12)), p(va + vb), p(max(most_discordant - apart**2, 1e-12))


def z_of(a, n_a, b, n_b):
    return (a - b) / math.sqrt(a * (1 - a) / n_a + b * (1 - b) / n_b)


def resamples(n):
    """Every multiset of n draws from n sets, as counts, with its probability."""
    kinds = []
    for drawn in itertools.combinations_with_replacement(range(n), n):
        counts = np.bincount(drawn, minlength=n)
        kinds.append((counts, math.factorial(n) / math.prod(math.factorial(c) for c in counts) / n**n))
    return np.array([k for k, _ in kinds]), np.array([w for _, w in kinds])


def quantile(values, weights, part):
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, part - 1e-12)])


def over_sets(values):
    counts, weights = resamples(len(values))
    means = counts @ np.array(values) / len(values)
    return quantile(means, weights, 0.025), quantile(means, weights, 0.975)


def tied_ranks(values):
    """Ranks from 1 for the smallest; values within 1e-12 share the mean of theirs."""
    values = np.asarray(values)
    below = (values[None, :] < values[:, None] - 1e-12).sum(1)
    same = (abs(values[None, :] - values[:, None]) <= 1e-12).sum(1)
    return below + (same + 1) / 2


# ------------------------------------------------------------------ cases of their own

def cases(rng):
    out = {}
    out["wilson"] = []
    for right, n in [(0, 1), (1, 1), (0, 50), (50, 50), (3, 7), (510, 1000), (41, 423), (29000, 30133)]:
        ends = stats.binomtest(right, n).proportion_ci(method="wilson")
        out["wilson"].append({"right": right, "n": n, "low": ends.low, "high": ends.high})
    out["mcnemar"] = [
        {"b": b, "c": c, "p": 1.0 if b + c == 0 else stats.binomtest(min(b, c), b + c, 0.5).pvalue}
        for b, c in [(0, 0), (1, 0), (9, 1), (10, 10), (0, 20), (30, 55), (300, 400), (3000, 3200)]
    ]
    pairs = [(0.5, 0.5, 100), (0.51, 0.5, 1000), (0.9, 0.8, 423), (0.99, 0.98, 30133), (1.0, 0.95, 306), (0.02, 0.01, 2434),
             (0.0, 0.0, 50), (0.6, 0.3, 1136), (0.47, 0.472, 42791), (0.7, 0.1, 232)]
    out["two_accuracies"] = [
        dict(zip(("nested", "correlated", "independent", "opposed"), same_images(a, b, n)), a=a, b=b, n=n) for a, b, n in pairs
    ]
    out["nemenyi"] = []
    for k, sets in [(2, 5), (3, 10), (5, 8), (9, 8), (13, 6), (20, 4)]:
        q = stats.studentized_range.ppf(0.95, k, np.inf) / math.sqrt(2)
        out["nemenyi"].append({"models": k, "sets": sets, "critical_difference": q * math.sqrt(k * (k + 1) / (6 * sets))})
    out["friedman"] = []
    for sets, k, digits in [(4, 3, 6), (8, 9, 6), (6, 5, 1), (3, 4, 1)]:
        scores = np.round(rng.random((sets, k)) + np.arange(k) / k, digits)
        test = stats.friedmanchisquare(*scores.T)
        ranks = [stats.rankdata(-row).tolist() for row in scores]
        out["friedman"].append({"scores": scores.tolist(), "ranks": ranks, "p": test.pvalue, "w": test.statistic / (sets * (k - 1))})
    out["set_bootstrap"] = []
    for n in (2, 4, 6, 8):
        values = np.round(rng.normal(size=n), 3).tolist()
        low, high = over_sets(values)
        out["set_bootstrap"].append({"values": values, "mean": float(np.mean(values)), "low": low, "high": high})
    out["two_way"] = [two_way(rng, *shape) for shape in [(3, 4, True), (5, 40, False), (5, 40, False)]]
    out["shares"] = []
    for shape in [(3, 4, 5), (2, 6, 3)]:
        x = rng.normal(size=shape) + 2 * rng.normal(size=shape[1])[None, :, None] + rng.normal(size=shape[2])
        out["shares"].append({"values": np.round(x, 6).tolist(), **shares(np.round(x, 6))})
    return out


def shares(x):
    total, names = ((x - x.mean()) ** 2).sum(), ("method", "set", "model")
    found = {}
    for axis, name in enumerate(names):
        means = x.mean(axis=tuple(other for other in range(3) if other != axis))
        found[name] = float(((means - x.mean()) ** 2).sum() * x.size / x.shape[axis] / total)
    return {**found, "rest": 1 - sum(found.values())}


def two_way(rng, seeds, families, exact):
    counts = rng.integers(0 if not exact else 1, 4, size=(seeds, families)).astype(float)
    sums = np.array([[rng.binomial(int(c), 0.6) for c in row] for row in counts], dtype=float)

    def rates(times):
        n = counts @ times
        return np.where(n > 0, (sums @ times) / np.where(n > 0, n, 1), np.nan)

    found, weights = [], []
    if exact:
        for drawn in itertools.product(range(families), repeat=families):
            of = rates(np.bincount(drawn, minlength=families))
            for chosen in itertools.product(range(seeds), repeat=seeds):
                found.append(np.nanmean(of[list(chosen)]))
        weights = np.full(len(found), 1 / len(found))
        low, high = quantile(np.array(found), weights, 0.025), quantile(np.array(found), weights, 0.975)
    else:
        for _ in range(200_000):
            of = rates(np.bincount(rng.integers(0, families, families), minlength=families))
            found.append(np.nanmean(of[rng.integers(0, seeds, seeds)]))
        low, high = np.quantile(found, [0.025, 0.975])
    value = float(np.mean(sums.sum(1) / counts.sum(1)))
    return {"sums": sums.tolist(), "counts": counts.tolist(), "value": value, "low": float(low), "high": float(high)}


# ------------------------------------------------------------------ the published tables

class Column:
    """What models reached on the same images."""

    def __init__(self, table, dataset, split, method, budget):
        self.table, self.dataset, self.split, self.method, self.budget = table, dataset, split, method, int(budget)
        self.printed, self.of = [], {}

    def place(self):
        return self.dataset, self.split, self.method, self.budget

    def count(self, table_n):
        """Numbers of images that fit every printed fraction, and the one that is taken."""
        values = np.array([float(text) for text in self.printed])
        digits = np.array([min(6, len(text.partition(".")[2])) for text in self.printed])
        n = np.arange(2, max(13 * table_n // 10, 2000) + 1)
        off = abs(np.round(values[None, :] * n[:, None]) / n[:, None] - values[None, :])
        self.fits = [int(k) for k in n[(off <= 0.6 * 10.0 ** -digits[None, :]).all(1)]]
        self.n = table_n if any(k % table_n == 0 for k in self.fits) else (self.fits or [table_n])[0]

    def ranked(self):
        return sorted(self.of.items(), key=lambda item: -item[1])


def read():
    with open(PUBLISHED / "splits.csv") as file:
        splits = {(row["dataset"], int(row["budget"])): row for row in csv.DictReader(file)}
    with open(PUBLISHED / "results.csv") as file:
        results = list(csv.DictReader(file))
    columns = {}
    for row in results:
        if row["metric"] == "accuracy":
            key = tuple(row[name] for name in ("table", "dataset", "split", "method", "budget"))
            column = columns.setdefault(key, Column(*key))
            column.printed.append(row["value"])
            column.of[row["model"]] = float(row["value"])
    for column in columns.values():
        split = splits[column.dataset, column.budget]
        column.count(int(split["test" if column.split == "test" else f"{column.split}_test"]))
    return results, splits, list(columns.values())


# ------------------------------------------------------------------ claims

def firsts(columns):
    found = {}
    for column in columns:
        (model, best), (_, second) = column.ranked()[:2]
        p = same_images(best, second, column.n)
        counts = found.setdefault(model, [0, 0, 0, 0])
        counts[0] += 1
        counts[1] += p[2] < 0.05
        counts[2] += p[1] < 0.05
        counts[3] += p[0] >= 0.05
    return {model: [int(c) for c in counts] for model, counts in found.items()}


def set_difference(pairs):
    """Means within a data set, then over the sets."""
    sets = {}
    for dataset, difference in pairs:
        sets.setdefault(dataset, []).append(difference)
    by_set = {dataset: float(np.mean(values)) for dataset, values in sorted(sets.items())}
    low, high = over_sets(list(by_set.values()))
    return {"by_set": by_set, "mean": float(np.mean(list(by_set.values()))), "low": low, "high": high}


def tuned_against_probe(at, columns, datasets, budget, models=None):
    found = {"ahead": 0, "of": 0, "clear": 0, "clearly_worse": 0, "worse": []}
    for column in columns:
        if column.method != "finetune" or column.budget != budget or column.dataset not in datasets:
            continue
        for model, accuracy in column.of.items():
            if model in EFFICIENTNETS or (models and model not in models):
                continue
            probes = [at[column.dataset, column.split, method, budget] for method in ("knn", "lr")]
            better = max(probes, key=lambda probe: probe.of[model])
            z = z_of(accuracy, column.n, better.of[model], better.n)
            found["of"] += 1
            found["ahead"] += accuracy > better.of[model]
            found["clear"] += z > Z
            found["clearly_worse"] += z < -Z
            if accuracy <= better.of[model]:
                found["worse"].append([column.dataset, column.split, model, 100 * (accuracy - better.of[model])])
    return found


def last_places(columns):
    ranks, last = {model: [] for model in MASKED}, 0
    for column in columns:
        order = [model for model, _ in column.ranked() if model in NINE]
        for model in MASKED:
            ranks[model].append(order.index(model) + 1)
        last += set(order[-3:]) == set(MASKED)
    return {"columns": len(columns), "ranks": {m: [float(np.mean(r)), min(r), max(r)] for m, r in ranks.items()}, "last": last}


def drop_tally(drops):
    p = sorted(2 * stats.norm.sf(abs(d["drop"]) / d["se"]) for d in drops)
    holm = next((i for i, value in enumerate(p) if value >= 0.05 / (len(p) - i)), len(p))
    side = [(d["drop"] > Z * d["se"]) - (d["drop"] < -Z * d["se"]) for d in drops]
    points, relative = [d["drop"] for d in drops], [d["drop"] / d["id"] for d in drops]
    return {"of": len(drops), "positive": side.count(1), "negative": side.count(-1), "neither": side.count(0), "holm": holm,
            "least": min(points), "most": max(points), "relative_least": min(relative), "relative_most": max(relative)}


def standings(ranks_by_set):
    sets = sorted(ranks_by_set)
    ranks = np.array([np.mean(ranks_by_set[s], 0) for s in sets])
    n, k = ranks.shape
    test = stats.friedmanchisquare(*ranks.T)
    difference = stats.studentized_range.ppf(0.95, k, np.inf) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n))
    counts, weights = resamples(n)
    means = counts @ ranks / n
    places = np.array([tied_ranks(row) for row in means])
    mean = ranks.mean(0)
    best = int(np.argmin(mean))
    first = means <= means.min(1, keepdims=True) + 1e-12
    models = {
        model: [mean[i], quantile(places[:, i], weights, 0.025), quantile(places[:, i], weights, 0.975), float(weights[first[:, i]].sum())]
        for i, model in enumerate(NINE)
    }
    others = [i for i in range(k) if i != best]
    return {
        "sets": sets, "w": test.statistic / (n * (k - 1)), "p": test.pvalue, "critical_difference": difference, "models": models,
        "nemenyi": [NINE[i] for i in others if mean[i] - mean[best] < difference],
        "bootstrap": [NINE[i] for i in others if quantile(means[:, i] - means[:, best], weights, 0.025) <= 1e-12],
    }


def regret(at, budget):
    methods = ["knn", "lr", "finetune"]
    parts = {}
    for dataset in GENERAL + DRIFT:
        splits = [s for s in ("test", "id", "ood") if all((dataset, s, m, budget) in at for m in methods)]
        if splits:
            parts[dataset] = splits
    sets = sorted(parts)
    losses, accuracies = {}, np.zeros((3, len(sets), 9))
    for j, dataset in enumerate(sets):
        best = {s: max(max(at[dataset, s, m, budget].of.values()) for m in methods) for s in parts[dataset]}
        for i, method in enumerate(methods):
            for k, model in enumerate(NINE):
                own = {s: at[dataset, s, method, budget].of[model] for s in parts[dataset]}
                losses.setdefault(f"{model} {method}", []).append(np.mean([best[s] - own[s] for s in own]))
                accuracies[i, j, k] = np.mean(list(own.values()))
    counts, weights = resamples(len(sets))
    means = {name: counts @ np.array(loss) / len(sets) for name, loss in losses.items()}
    least = np.min(list(means.values()), axis=0)
    strategies = {
        name: [float(np.mean(loss)), quantile(means[name], weights, 0.025), quantile(means[name], weights, 0.975), max(loss),
               sets[int(np.argmax(loss))], float(weights[means[name] <= least + 1e-12].sum())]
        for name, loss in losses.items()
    }
    clipped = np.clip(accuracies, 0.002, 0.998)
    return {"sets": sets, "strategies": strategies, "shares": shares(np.log(clipped / (1 - clipped)))}


def claims(results, splits, every, columns):
    at = {column.place(): column for column in columns}
    general = [c for c in columns if c.split == "test" and c.method != "finetune"]
    drift = [c for c in columns if c.split != "test" and c.method != "finetune"]
    tuned = [c for c in columns if c.method == "finetune"]
    out = {"firsts": {
        "general_probes": firsts(general),
        "largest_probes": firsts([c for c in general if c.dataset == "flowers102" or c.budget == 100]),
        "drift_probes": firsts(drift),
        "general_finetuning": firsts([c for c in tuned if c.split == "test"]),
        "drift_finetuning": firsts([c for c in tuned if c.split != "test"]),
    }}
    both = [(c.of["DINO"], c.of["CLIP"], same_images(c.of["DINO"], c.of["CLIP"], c.n)) for c in general]
    side = lambda which: [sum(d > c and p[which] < 0.05 for d, c, p in both), sum(d < c and p[which] < 0.05 for d, c, p in both)]
    out["head_to_head"] = {"columns": len(both), "dino_ahead": sum(d > c for d, c, _ in both), "independent": side(2), "correlated": side(1)}
    ahead = set_difference([(c.dataset, c.of["DINO"] - c.of["CLIP"]) for c in general])
    means = ahead["by_set"]
    out["over_sets"] = {**ahead, "without_isic": float(np.mean([v for k, v in means.items() if k != "isic"]))}

    order = {"whole": 0, "of": 0, "parts": {}}
    for dataset in GENERAL:
        if (dataset, "test", "knn", 100) not in at:
            continue
        for model in at[dataset, "test", "knn", 10].of:
            if model in EFFICIENTNETS:
                continue
            v = {f"{m}_{b}": at[dataset, "test", m, b] for m in ("knn", "lr") for b in (10, 100)}
            a = {name: column.of[model] for name, column in v.items()}
            order["of"] += 1
            order["whole"] += a["lr_100"] > a["lr_10"] > a["knn_100"] > a["knn_10"]
            for part in ("lr_100>lr_10", "lr_10>knn_100", "knn_100>knn_10", "lr_100>knn_100", "lr_10>knn_10"):
                x, y = part.split(">")
                z = z_of(a[x], v[x].n, a[y], v[y].n)
                counts = order["parts"].setdefault(part, [0, 0, 0])
                counts[0] += a[x] > a[y]
                counts[1] += z > Z
                counts[2] += z < -Z
    out["order_of_methods"] = order
    out["knn_over_lr"] = {}
    for dataset in DRIFT:
        pairs = [(c.of[m], at[dataset, c.split, "lr", c.budget].of[m]) for c in drift if c.dataset == dataset and c.method == "knn" for m in c.of]
        out["knn_over_lr"][dataset] = [sum(a > b for a, b in pairs), len(pairs)]
    ask = lambda sets, budget, models=None: tuned_against_probe(at, columns, sets, budget, models)
    out["tuned"] = {"drift_10": ask(DRIFT, 10), "drift_100": ask(DRIFT, 100), "general_10": ask(GENERAL, 10), "general_100": ask(GENERAL, 100),
                    "dino_clip_10": ask(GENERAL + DRIFT, 10, ["DINO", "CLIP"]), "dino_clip_100": ask(GENERAL + DRIFT, 100, ["DINO", "CLIP"])}
    out["best_tuned_minus_best_probe"] = {}
    for budget in (10, 100):
        rows = out["best_tuned_minus_best_probe"].setdefault(str(budget), [])
        for dataset in GENERAL:
            if (dataset, "test", "finetune", budget) not in at:
                continue
            best = at[dataset, "test", "finetune", budget]
            (m, a) = best.ranked()[0]
            probe = max((at[dataset, "test", method, budget] for method in ("knn", "lr")), key=lambda c: c.ranked()[0][1])
            (pm, pa) = probe.ranked()[0]
            half = Z * math.sqrt(a * (1 - a) / best.n + pa * (1 - pa) / probe.n)
            rows.append([dataset, m, a, pm, probe.method, pa, a - pa, half])
    out["convnext_tuned_minus_dino_lr"] = set_difference(
        [(c.dataset, c.of["convnext_base"] - at[c.dataset, c.split, "lr", 10].of["DINO"]) for c in tuned if c.budget == 10])
    against = {"ahead_clear": 0, "ahead_unclear": 0, "behind_clear": 0, "behind_unclear": 0}
    for c in tuned:
        own, other = c.of["convnext_base"], max(v for m, v in c.of.items() if not m.startswith("convnext"))
        clear = "clear" if same_images(own, other, c.n)[2] < 0.05 else "unclear"
        against[("ahead_" if own > other else "behind_") + clear] += 1
    out["convnext"] = against
    isic = lambda c: c.dataset == "isic"
    out["masked"] = {
        "probes": last_places([c for c in general + drift if not isic(c)]), "probes_isic": last_places([c for c in general if isic(c)]),
        "tuned": last_places([c for c in tuned if not isic(c)]), "tuned_isic": last_places([c for c in tuned if isic(c)]),
    }
    near = [v < 0.5 + 1.96 * math.sqrt(0.25 / 1136) for c in general if isic(c) for v in c.of.values()]
    out["isic_chance"] = [sum(near), len(near)]
    more = {"up": 0, "of": 0, "falls": []}
    for c in columns:
        other = at.get((c.dataset, c.split, c.method, 10 * c.budget))
        for model, a in c.of.items() if other else ():
            if model in EFFICIENTNETS and c.method != "finetune":
                continue
            b = other.of[model]
            more["of"] += 1
            more["up"] += b > a
            if z_of(b, other.n, a, c.n) < -Z:
                more["falls"].append([c.dataset, c.split, c.method, model, c.budget, other.budget, 100 * (b - a)])
    out["more_labels"] = more

    drops = []
    for c in columns:
        if c.split == "id":
            other = at[c.dataset, "ood", c.method, c.budget]
            for model, a in c.of.items():
                b = other.of[model]
                se = math.sqrt(a * (1 - a) / c.n + b * (1 - b) / other.n)
                drops.append({"dataset": c.dataset, "method": c.method, "budget": c.budget, "model": model, "id": a, "ood": b, "drop": a - b, "se": se})
    of = lambda dataset, tuned: [d for d in drops if d["dataset"] == dataset and (d["method"] == "finetune") == tuned]
    out["drops"] = {f"{d}_{name}": drop_tally(of(d, t)) for d in DRIFT for name, t in (("probes", False), ("tuned", True))}
    top = [d for d in of("fmow", True) if d["budget"] == 1000]
    out["fmow_1000"] = {"drops": {d["model"]: [d["drop"], Z * d["se"]] for d in top},
                        "design_effect": min((d["drop"] / (Z * d["se"])) ** 2 for d in top)}
    out["clip_against"] = []
    for budget in (10, 100, 1000):
        by = {d["model"]: d for d in of("fmow", True) if d["budget"] == budget}
        for model in ("convnext_base", "convnext_tiny"):
            half = Z * math.hypot(by[model]["se"], by["CLIP"]["se"])
            out["clip_against"].append([budget, model, by[model]["drop"] - by["CLIP"]["drop"], half, half * math.sqrt(0.5)])
    cameras = [d for d in drops if d["dataset"] == "iwildcam"]
    own = [d for d in cameras if d["model"].startswith("convnext")]
    rest = [d for d in cameras if not d["model"].startswith("convnext")]
    out["iwildcam"] = {"convnext": [sum(d["drop"] < 0 for d in own), len(own), sum(d["drop"] < -Z * d["se"] for d in own)],
                       "others": [sum(d["drop"] < 0 for d in rest), len(rest)]}
    out["lines"], out["line_by_arm"] = {}, {}
    logit = lambda values: np.log(np.array(values) / (1 - np.array(values)))
    for dataset in DRIFT:
        mine = [d for d in drops if d["dataset"] == dataset]
        fit = stats.linregress(logit([d["id"] for d in mine]), logit([d["ood"] for d in mine]))
        out["lines"][dataset] = {"r": fit.rvalue, "slope": fit.slope, "intercept": fit.intercept}
        arms = {}
        for method, budget in (("knn", 100), ("lr", 100), ("finetune", 100), ("finetune", 1000)):
            arm = [d for d in mine if (d["method"], d["budget"]) == (method, budget)]
            arms[f"{method}_{budget}"] = float(np.corrcoef(logit([d["id"] for d in arm]), logit([d["ood"] for d in arm]))[0, 1])
        out["line_by_arm"][dataset] = arms

    largest = {}
    for c in columns:
        largest[c.dataset, c.split, c.method] = max(c.budget, largest.get((c.dataset, c.split, c.method), 0))
    out["rankings"] = {}
    for name, method, budget in (("knn_max", "knn", None), ("lr_max", "lr", None), ("knn_10", "knn", 10), ("lr_10", "lr", 10),
                                 ("finetune_10", "finetune", 10), ("finetune_max", "finetune", None)):
        ranks = {}
        for c in columns:
            wanted = budget or largest[c.dataset, c.split, c.method]
            if c.method == method and c.budget == wanted and all(m in c.of for m in NINE):
                ranks.setdefault(c.dataset, []).append(stats.rankdata([-c.of[m] for m in NINE]))
        out["rankings"][name] = standings(ranks)
    clusters = {}
    for row in results:
        if row["table"] == "clustering":
            clusters.setdefault((row["dataset"], row["split"]), {})[row["model"]] = float(row["value"])
    ranks = {}
    for (dataset, _), scores in clusters.items():
        ranks.setdefault(dataset, []).append(stats.rankdata([-scores[m] for m in NINE]))
    out["rankings"]["clusterings"] = standings(ranks)
    best = [max(scores, key=scores.get) for scores in clusters.values()]
    out["clusterings"] = {"columns": len(best), "firsts": {model: best.count(model) for model in sorted(set(best))}}
    out["regret"] = {str(budget): regret(at, budget) for budget in (10, 100)}
    out["replicate"] = {}
    for method in ("knn", "lr"):
        alone, mean = (next(c for c in every if c.table == table and c.place() == ("flowers102", "test", method, 10))
                       for table in ("general_probe", "general_finetune"))
        runs = {model: [alone.of[model], 2 * value - alone.of[model]] for model, value in mean.of.items()}
        counted = [(a, b) for model, (a, b) in runs.items() if model not in EFFICIENTNETS]
        d = np.array([a - b for a, b in counted])
        m = np.array([(a + b) / 2 for a, b in counted])
        out["replicate"][method] = {"runs": runs, "shift": d.mean(), "sd": math.sqrt((d**2).mean() / 2),
                                    "binomial": math.sqrt((m * (1 - m) / alone.n).mean())}
    return out


def rounded(value, digits=12):
    if isinstance(value, dict):
        return {str(key): rounded(item, digits) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item, digits) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.{digits}g}")
    return value


def main():
    rng = np.random.default_rng(0)
    results, splits, every = read()
    columns = [c for c in every if not (c.table == "general_finetune" and c.method != "finetune")]
    out = cases(rng)
    out["columns"] = [[*c.place(), c.n] for c in columns]
    out["fits"] = [[c.table, *c.place(), c.fits[:6]] for c in every]
    out["intervals"] = rounded([wilson(value, c.n) for c in columns for value in c.of.values()], 10)
    adjacent, apart = [], {}
    for c in columns:
        kind = "drift" if c.split != "test" else "general_finetuning" if c.method == "finetune" else "general_probes"
        counts = apart.setdefault(kind, [0] * 5)
        for (better, a), (worse, b) in itertools.pairwise(c.ranked()):
            p = same_images(a, b, c.n)
            adjacent.append(rounded([better, worse, *p], 6))
            counts[4] += 1
            for i in range(4):
                counts[i] += p[i] < 0.05
    out["adjacent"], out["apart"] = adjacent, apart
    out["claims"] = claims(results, splits, every, columns)
    target = pathlib.Path("tests/golden/published.json")
    lines = []
    for key, value in rounded(out).items():
        inside = ",\n".join(json.dumps(item, separators=(",", ":")) for item in value) if isinstance(value, list) else ",\n".join(
            f"{json.dumps(name)}:{json.dumps(item, separators=(',', ':'))}" for name, item in value.items())
        lines.append(f"{json.dumps(key)}:" + ("[\n%s\n]" if isinstance(value, list) else "{\n%s\n}") % inside)
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(target, target.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
