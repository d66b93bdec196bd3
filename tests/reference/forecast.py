"""Golden values of learning curves: fits by scipy and numpy, and curves measured on scikit-learn's handwritten digits.

    python -m venv .venv && .venv/bin/pip install -r tests/reference/requirements-metrics.txt
    .venv/bin/python tests/reference/forecast.py

Run from the repository's root; writes tests/golden/forecast.json. Then tells, for the curves of
tests/golden/curves.json and the digits, how well a power law by scipy alone forecasts twice the images.
"""

import json
import pathlib
import warnings

import numpy as np
from scipy import optimize, special
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
    golden = {"fits": fit_cases(np.random.default_rng(5)), "digits": digits()}
    path = GOLDEN / "forecast.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes")
    curves = GOLDEN / "curves.json"
    tell((json.loads(curves.read_text()) if curves.exists() else []) + [golden["digits"]])


if __name__ == "__main__":
    main()
