"""Golden values of drift: the line through stretched accuracies, gaps taken apart, calibration; from scipy, scikit-learn and numpy.

    python -m venv .venv && .venv/bin/pip install -r tests/reference/requirements-metrics.txt
    .venv/bin/python tests/reference/drift.py

Run from the repository's root; writes tests/golden/drift.json.
"""

import json
import pathlib

import numpy as np
from scipy import optimize, special, stats
from sklearn import metrics

STRETCHES = {
    "probit": (stats.norm.ppf, stats.norm.cdf),
    "logit": (special.logit, special.expit),
}


def line_case(rng, n, slope, intercept, spread):
    """Accuracies that scatter around a line on probit axes."""
    x = rng.uniform(-2.5, 2.5, n)
    points = np.stack([stats.norm.cdf(x), stats.norm.cdf(slope * x + intercept + spread * rng.normal(size=n))], axis=1)
    case = {"points": points.tolist()}
    for name, (of, back) in STRETCHES.items():
        stretched = of(points)
        fit = stats.linregress(stretched[:, 0], stretched[:, 1])
        expected = back(fit.slope * stretched[:, 0] + fit.intercept)
        case[name] = {
            "stretched": stretched.tolist(),
            "slope": fit.slope,
            "intercept": fit.intercept,
            "r2": fit.rvalue**2,
            "robustness": (points[:, 1] - expected).tolist(),
        }
    return case


def mix_case(rng, n_id, n_ood, classes, only_id, only_ood):
    """Kitagawa's decomposition, class by class, over the classes that both sides have."""
    sides = []
    for n, banned in [(n_id, only_ood), (n_ood, only_id)]:
        shares = rng.dirichlet(np.ones(classes))
        shares[banned] = 0
        labels = rng.choice(classes, n, p=shares / shares.sum())
        recall = rng.uniform(0.1, 0.95, classes)
        sides.append((labels, rng.random(n) < recall[labels]))
    (a, right_a), (b, right_b) = sides
    common = np.intersect1d(a, b)
    in_a, in_b = np.isin(a, common), np.isin(b, common)
    p = np.array([(a[in_a] == c).mean() for c in common])
    q = np.array([(b[in_b] == c).mean() for c in common])
    r = np.array([right_a[a == c].mean() for c in common])
    s = np.array([right_b[b == c].mean() for c in common])
    return {
        "id": [[int(c), bool(x)] for c, x in zip(a, right_a)],
        "ood": [[int(c), bool(x)] for c, x in zip(b, right_b)],
        "gap": right_a[in_a].mean() - right_b[in_b].mean(),
        "mix": ((p - q) * (r + s) / 2).sum(),
        "recall": ((p + q) / 2 * (r - s)).sum(),
        "covered": [in_a.mean(), in_b.mean()],
    }


def calibration_case(rng, n, classes, sharpness, noise, bins):
    truth = rng.integers(classes, size=n)
    scores = noise * rng.normal(size=(n, classes))
    scores[np.arange(n), truth] += 1.0
    scores *= sharpness
    # As they are stored: a few digits, so that both sides read the same numbers.
    scores = np.round(scores, 6)
    probabilities = special.softmax(scores, axis=1)
    own = np.arange(n), truth

    def loss(log_t):
        return -special.log_softmax(scores / np.exp(log_t), axis=1)[own].mean()

    found = optimize.minimize_scalar(loss, bounds=(np.log(1e-3), np.log(1e3)), method="bounded", options={"xatol": 1e-12})
    temperature = float(np.exp(found.x))
    tempered = special.softmax(scores / temperature, axis=1)
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    of = np.clip(np.ceil(top * bins), 1, bins).astype(int) - 1
    table = [
        {
            "n": int((of == b).sum()),
            "confidence": top[of == b].mean() if (of == b).any() else None,
            "accuracy": right[of == b].mean() if (of == b).any() else None,
        }
        for b in range(bins)
    ]
    return {
        "truth": truth.tolist(),
        "scores": scores.tolist(),
        "nll": metrics.log_loss(truth, probabilities, labels=range(classes)),
        "ece": sum(abs(b["accuracy"] - b["confidence"]) * b["n"] for b in table if b["n"]) / n,
        "bins": table,
        "temperature": temperature,
        "tempered_nll": metrics.log_loss(truth, tempered, labels=range(classes)),
    }


def main():
    rng = np.random.default_rng(3)
    golden = {
        "lines": [line_case(rng, 63, 0.94, -0.1, 0.05), line_case(rng, 9, 1.3, -0.8, 0.4), line_case(rng, 3, 0.5, 0.2, 0.1)],
        "mixes": [
            mix_case(rng, 200, 150, 5, [], []),
            mix_case(rng, 300, 90, 8, [1, 4], [6]),
            mix_case(rng, 40, 400, 3, [], [2]),
        ],
        "calibrations": [
            calibration_case(rng, 120, 4, 6.0, 0.8, 15),
            calibration_case(rng, 80, 10, 0.5, 0.6, 10),
            calibration_case(rng, 60, 3, 2.0, 1.5, 7),
        ],
    }
    path = pathlib.Path("tests/golden/drift.json")
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
