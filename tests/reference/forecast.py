"""Golden values of learning curves: fits by scipy and numpy, whole forecasts made of these fits as the library's pages
define them, and curves measured on scikit-learn's handwritten digits.

    python -m venv .venv && .venv/bin/pip install -r tests/reference/requirements-metrics.txt
    .venv/bin/python tests/reference/forecast.py

Run from the repository's root; writes tests/golden/forecast.json. Then tells, for the curves of
tests/golden/curves.json and the digits, how well a power law by scipy alone forecasts twice the images.
"""

import json
import math
import pathlib
import warnings

import numpy as np
from scipy import optimize, special, stats
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

GOLDEN = pathlib.Path("tests/golden")
SEEDS, HALVINGS, N_TEST = 10, [32, 16, 8, 4, 2, 1], 450


def law(x, ceiling, gap, exponent):
    return ceiling - gap * x**-exponent


def power_law(sizes, accuracies, weights):
    """The best of several starts: least squares within the bounds that the library has."""
    x = sizes / sizes.max()
    best = None
    for start in ([0.9, 0.1, 0.5], [0.6, 0.2, 0.1], [0.5, 0.02, 1.5]):
        found, covariance = optimize.curve_fit(
            law, x, accuracies, p0=start, sigma=weights**-0.5, bounds=([0, 0, 0.01], [1, np.inf, 2]),
            ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=20000, x_scale=[1, 0.1, 1],
        )  # fmt: skip
        left = (weights * (law(x, *found) - accuracies) ** 2).sum()
        if best is None or left < best[0]:
            best = left, found, covariance
    return best[1], best[2]


def fit_case(sizes, accuracies, weights):
    sizes, accuracies, weights = (np.array(part, float) for part in (sizes, accuracies, weights))
    ask = sizes.max() * np.array([1.5, 2, 8])
    found, _ = power_law(sizes, accuracies, weights)
    slope, intercept = np.polyfit(np.log(sizes), special.logit(accuracies), 1, w=weights**0.5)
    return {
        "sizes": sizes.tolist(),
        "accuracies": accuracies.tolist(),
        "weights": weights.tolist(),
        "ask": ask.tolist(),
        "power": found.tolist(),
        "power_at": law(ask / sizes.max(), *found).tolist(),
        "logit": [slope, intercept],
        "logit_at": special.expit(slope * np.log(ask) + intercept).tolist(),
    }


def fit_cases(rng):
    cases = []
    laws = [(0.9, 0.1, 0.5, 0.005), (0.7, 0.004, 1.2, 0.01), (0.45, 0.1, 0.3, 0.003), (0.98, 0.02, 0.9, 0.002)]
    for ceiling, gap, exponent, noise in laws:
        sizes = np.round(np.geomspace(30, 2000, 6))
        accuracies = np.round(law(sizes / sizes.max(), ceiling, gap, exponent) + noise * rng.normal(size=6), 5)
        for weights in (np.ones(6), sizes / sizes.max()):
            cases.append(fit_case(sizes, accuracies, weights))
    # A ceiling at its bound; an exponent at its lower one.
    cases.append(fit_case([10, 20, 40, 80], [0.5, 0.62, 0.75, 0.9], np.ones(4)))
    cases.append(fit_case([10, 20, 40, 80], [0.1, 0.15, 0.21, 0.28], np.ones(4)))
    # An exponent near its upper bound, and one at it.
    cases.append(fit_case([10, 20, 40, 80], [0.59602, 0.67214, 0.69254, 0.698], np.ones(4)))
    cases.append(fit_case([10, 20, 40, 80], [0.1, 0.55, 0.6, 0.61], np.ones(4)))
    # A dip: far below the best exponent no law that rises is any use. A wild curve, which each weight pulls elsewhere.
    cases.append(fit_case([10, 20, 40], [0.8, 0.25, 0.76], [0.25, 0.5, 1]))
    cases.append(fit_case([10, 20, 40, 80, 160], [0.1, 0.5, 0.42, 0.6, 0.62], [0.01, 0.02, 1, 0.5, 1]))
    return cases


def chacha8(purpose, seed):
    """What the library's random draws are made of, in 64-bit numbers: ChaCha with 8 rounds, keyed by seed and purpose."""
    key = seed.to_bytes(8, "little") + purpose.encode()[:24].ljust(24, b"\0")
    words = [int.from_bytes(part, "little") for part in (b"expa", b"nd 3", b"2-by", b"te k")]
    words += [int.from_bytes(key[i : i + 4], "little") for i in range(0, 32, 4)]
    columns = [(i, 4 + i, 8 + i, 12 + i) for i in range(4)]
    diagonals = [(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4) for i in range(4)]
    for block in range(2**32):
        start = words + [block, 0, 0, 0]
        x = start.copy()
        for _ in range(4):
            for a, b, c, d in columns + diagonals:
                for to, by, turned, left in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                    x[to] = (x[to] + x[by]) % 2**32
                    bits = x[turned] ^ x[to]
                    x[turned] = (bits << left | bits >> (32 - left)) % 2**32
        x = [(one + other) % 2**32 for one, other in zip(x, start)]
        yield from (x[i] | x[i + 1] << 32 for i in range(0, 16, 2))


def below(numbers, n):
    """Lemire 2019: the high half of a product, drawn again where the low half is below 2^64 mod n."""
    while True:
        product = next(numbers) * n
        if product % 2**64 >= 2**64 % n:
            return product >> 64


class Curve:
    """A forecast as the pages of `CurveForecast` define it."""

    FORM, PRIOR, RESAMPLES, LEVEL, PER_DOUBLING = 0.055, 5, 200, 0.75, 0.5

    def __init__(self, sizes, accuracies, each, distinct, seed):
        self.sizes, self.accuracies = np.array(sizes, float), np.array(accuracies, float)
        self.each, self.distinct, self.n = each, distinct, self.accuracies.shape[1]
        self.known = {}
        self.fits = self.fit(range(self.n))
        numbers, self.resampled = chacha8("learning curve", seed), []
        if self.n > 1:
            for _ in range(self.RESAMPLES):
                self.resampled.append(self.fit([below(numbers, self.n) for _ in range(self.n)]))
        self.quantile = stats.t.ppf(0.975, self.PRIOR + self.n - 1)
        self.between = self.accuracies.var(1, ddof=1).mean() if self.n > 1 else 0

    def fit(self, repeats):
        """Ceiling, gap and exponent of the power law; slope and intercept of the line."""
        repeats = tuple(sorted(repeats))
        if repeats not in self.known:
            means = self.accuracies[:, repeats].mean(1)
            power, _ = power_law(self.sizes, means, self.sizes)
            odds = special.logit(means.clip(0.5 / self.distinct, 1 - 0.5 / self.distinct))
            self.known[repeats] = power, np.polyfit(np.log(self.sizes), odds, 1, w=self.sizes**0.5)
        return self.known[repeats]

    def forms(self, size, fits=None):
        power, line = fits or self.fits
        return max(law(size / self.sizes.max(), *power), 0), special.expit(np.polyval(line, np.log(size)))

    def mean(self, size, fits=None):
        return np.mean(self.forms(size, fits))

    def apart(self, size):
        power, logit = self.forms(size)
        return logit - power

    def reach(self, size):
        """Doublings beyond the largest size, the root of them from one on."""
        doublings = max(math.log2(size / self.sizes.max()), 0)
        return min(doublings, doublings**0.5)

    def variance(self, p):
        """Agresti and Coull 1998."""
        p = (p * self.distinct + 2) / (self.distinct + 4)
        return p * (1 - p)

    def moderated(self, measured, expected):
        """Smyth 2004: degrees of freedom weigh what was measured and what was expected."""
        squares = self.PRIOR * expected + (self.n - 1) * measured
        return self.quantile * (squares / (self.PRIOR + self.n - 1)) ** 0.5

    def seeds(self, of, expected):
        measured = np.var([of(fits) for fits in self.resampled]) * self.n / (self.n - 1) if self.n > 1 else 0
        return self.moderated(measured, expected / self.n)

    def at(self, size):
        (power, logit), mean = self.forms(size), self.mean(size)
        variance, doublings = self.variance(mean), max(math.log2(size / self.sizes.max()), 0)
        expected = (self.LEVEL + self.PER_DOUBLING * doublings**2) * variance / self.each
        seeds = self.seeds(lambda fits: self.mean(size, fits), expected)
        form = abs(logit - power) / 2 + self.FORM * self.reach(size) * variance**0.5
        images = stats.norm.ppf(0.975) * (variance / self.distinct) ** 0.5
        half = math.sqrt(seeds**2 + form**2 + images**2)
        one = math.sqrt(half**2 + self.moderated(self.between, variance / self.each) ** 2)
        ends = np.clip([mean - half, mean + half, mean - one, mean + one], 0, 1)
        return [size, mean, *ends, power, logit, seeds, form, images]

    def gain(self, start, end):
        mean, doublings = self.mean(end) - self.mean(start), math.log2(end / start)
        variance = self.variance(self.mean(end))
        expected = self.PER_DOUBLING * doublings**2 * variance / self.each
        seeds = self.seeds(lambda fits: self.mean(end, fits) - self.mean(start, fits), expected)
        form = abs(self.apart(end) - self.apart(start)) / 2
        form += self.FORM * (self.reach(end) - self.reach(start)) * variance**0.5
        half = math.hypot(seeds, form)
        return [start, end, mean, max(mean - half, -1), min(mean + half, 1)]

    def labels(self, target):
        """The target, and where the upper end, the forecast and the lower end reach it, up to 64 times the largest."""
        logs = np.log2([self.sizes.min(), 64 * self.sizes.max()])
        logs = np.linspace(*logs, 1 + round(16 * (logs[1] - logs[0])))
        found = [target]
        for place in (3, 1, 2):
            above = lambda log: self.at(2**log)[place] - target
            first = next((i for i, log in enumerate(logs) if above(log) >= 0), None)
            if first:
                found.append(2 ** optimize.brentq(above, logs[first - 1], logs[first], xtol=1e-14))
            else:
                found.append(None if first is None else self.sizes.min())
        return found


def forecasts():
    """Curves of which everything that the library says is told."""
    rising = [[0.39, 0.41, 0.42], [0.5, 0.47, 0.52], [0.57, 0.59, 0.6], [0.64, 0.63, 0.66]]
    asked = [
        # Repeats in the middle of the range; from within the sizes to far beyond.
        ([25, 50, 100, 200], rising, 300, 700, 0, [25, 120, 300, 800], [0.3, 0.5, 0.66, 0.74, 0.85]),
        # One repeat, few images; the lower end is above the first target for less than a doubling, and falls again.
        ([12, 30, 70], [[0.2], [0.35], [0.45]], 40, 40, 3, [70, 105, 4000], [0.255, 0.4, 0.7]),
        # None right at first, and a power law that goes below 0 there.
        ([10, 20, 40, 80], [[0, 0], [0.25, 0.15], [0.4, 0.5], [0.6, 0.5]], 50, 80, 1, [10, 160], [0.2, 0.75]),
        # All right in the end: a ceiling of 1, ends that are cut.
        ([5, 10, 20], [[0.9, 0.92], [0.96, 0.97], [1, 1]], 60, 110, 2, [5, 20, 40], [0.93, 0.99]),
        # Fewer right with more images: the power law is flat.
        ([10, 20, 40], [[0.5, 0.48], [0.46, 0.44], [0.4, 0.43]], 100, 150, 0, [10, 80], [0.47, 0.7]),
    ]
    cases = []
    for sizes, accuracies, each, distinct, seed, ask, targets in asked:
        curve = Curve(sizes, accuracies, each, distinct, seed)
        pairs = [(a, b) for i, a in enumerate(ask) for b in ask[i + 1 :]]
        rounded = lambda rows: [[v if v is None else round(float(v), 9) for v in row] for row in rows]
        cases.append({
            "sizes": sizes, "accuracies": accuracies, "each": each, "distinct": distinct, "seed": seed,
            "at": rounded(map(curve.at, ask)),
            "gains": rounded(curve.gain(*pair) for pair in pairs),
            "labels": rounded(map(curve.labels, targets)),
        })  # fmt: skip
    return cases


def digits():
    """Curves of 9 sets of features under two probes, with nested training images in proportion to the classes."""
    images, labels = load_digits(return_X_y=True)
    images = images / 16
    rng = np.random.default_rng(0)
    squares = images.reshape(-1, 8, 8)
    pooled = lambda k: squares.reshape(-1, 8 // k, k, 8 // k, k).mean((2, 4)).reshape(len(images), -1)
    features = {
        "pixels": images,
        "pca16": PCA(16, random_state=0).fit_transform(images),
        "pca5": PCA(5, random_state=0).fit_transform(images),
        "mean2": pooled(2),
        "mean4": pooled(4),
        "random64": np.maximum(images @ rng.normal(size=(64, 64)), 0) / 4,
        "random3": images @ rng.normal(size=(64, 3)) / 2,
        "noisy": images + rng.normal(size=images.shape) * 0.5,
        "very_noisy": images + rng.normal(size=images.shape),
    }
    half = rng.integers(0, 2, len(images))
    counts, tested, sizes = [], [], []
    right = {(name, method): [[], []] for name in features for method in ("knn", "lr")}
    for seed in range(SEEDS):
        order = np.random.default_rng(100 + seed).permutation(len(images))
        test, pool = order[:N_TEST], order[N_TEST:]
        place = np.zeros(len(pool))
        for c in range(10):
            of_class = np.where(labels[pool] == c)[0]
            place[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
        pool = pool[np.argsort(place, kind="stable")]
        in_a = half[test] == 0
        counts.append([int(in_a.sum()), int((~in_a).sum())] * 2)
        tested.append(test)
        sizes = [len(pool) // halving for halving in HALVINGS]
        for (name, method), (a, b) in right.items():
            rows = []
            for n in sizes:
                probe = KNeighborsClassifier(5) if method == "knn" else LogisticRegression(C=1, max_iter=300)
                probe.fit(features[name][pool[:n]], labels[pool[:n]])
                ok = probe.predict(features[name][test]) == labels[test]
                rows.append((int(ok[in_a].sum()), int(ok[~in_a].sum())))
            a.append([row[0] for row in rows])
            b.append([row[1] for row in rows])
    distinct = []
    for seeds in (range(0, 5), range(5, 10)):
        all_ = np.unique(np.concatenate([tested[seed] for seed in seeds]))
        distinct.append([int((half[all_] == 0).sum()), int((half[all_] == 1).sum()), len(all_)])
    curves = [
        {"model": name, "method": method, "sizes": sizes, "a": a, "b": b} for (name, method), (a, b) in right.items()
    ]
    return {"dataset": "digits", "split": "id", "counts": counts, "distinct": distinct, "curves": curves}


def tell(sets):
    """What scipy's power law, unweighted and with its own intervals, makes of the same forecasts."""
    print("dataset split cases | half-width and coverage of scipy's 95% | 95% of errors within: scipy, last value")
    for one in sets:
        errors, halves, last = [], [], []
        totals = np.array(one["counts"])[:, :2].sum(1)
        for curve in one["curves"]:
            accuracy = (np.array(curve["a"]) + np.array(curve["b"])) / totals[:, None]
            sizes = np.array(curve["sizes"], float)
            for held, other in ((slice(0, 5), slice(5, 10)), (slice(5, 10), slice(0, 5))):
                for t in range(3, len(sizes)):
                    means = accuracy[held, :t].mean(0)
                    found, covariance = power_law(sizes[:t], means, np.ones(t))
                    x = sizes[t] / sizes[t - 1]
                    slope = np.array([1, -(x ** -found[2]), found[1] * np.log(x) * x ** -found[2]])
                    variance = slope @ covariance @ slope
                    halves.append(1.96 * variance**0.5 if np.isfinite(variance) else np.inf)
                    truth = accuracy[other, t].mean()
                    errors.append(abs(truth - law(x, *found)))
                    last.append(abs(truth - means[-1]))
        errors, halves, last = np.array(errors), np.array(halves), np.array(last)
        print(
            f"{one['dataset']} {one['split']} {len(errors)} | {100 * np.median(halves):.1f}"
            f" {100 * (errors <= halves).mean():.0f}%"
            f" | {100 * np.quantile(errors, 0.95):.1f} {100 * np.quantile(last, 0.95):.1f}"
        )


def main():
    warnings.filterwarnings("ignore")
    golden = {"fits": fit_cases(np.random.default_rng(5)), "forecasts": forecasts(), "digits": digits()}
    path = GOLDEN / "forecast.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes")
    curves = GOLDEN / "curves.json"
    tell((json.loads(curves.read_text()) if curves.exists() else []) + [golden["digits"]])


if __name__ == "__main__":
    main()
