"""Golden values of the metrics, from scikit-learn and scipy.

    python -m venv .venv && .venv/bin/pip install -r tests/reference/requirements-metrics.txt
    .venv/bin/python tests/reference/metrics.py

Run from the repository's root; writes tests/golden/metrics.json.gz.
"""

import gzip
import json
import pathlib
import warnings

import numpy as np
from scipy import stats
from sklearn import metrics

# scikit-learn warns of predicted classes without images; the cases below have some on purpose.
warnings.filterwarnings("ignore")


def prediction_case(name, predicted, truth, n_classes):
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    present = np.union1d(predicted, truth)
    f1 = dict(zip(present.tolist(), metrics.f1_score(truth, predicted, labels=present, average=None)))
    return {
        "name": name,
        "predicted": predicted.tolist(),
        "truth": truth.tolist(),
        "n_classes": n_classes,
        "accuracy": metrics.accuracy_score(truth, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
        "macro_f1": metrics.f1_score(truth, predicted, average="macro"),
        "f1": [f1.get(c) for c in range(n_classes)],
        "confusion": metrics.confusion_matrix(truth, predicted, labels=range(n_classes)).tolist(),
    }


def interval_case(values, level):
    low, high = stats.t.interval(level, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    return {"values": values, "level": level, "mean": np.mean(values), "low": low, "high": high}


def bootstrap_case(rng, n_images, p_both, p_a, p_b):
    """Both right, only a right, only b right, with these chances; the interval by scipy with many resamples."""
    kind = rng.choice(4, size=n_images, p=[p_both, p_a, p_b, 1 - p_both - p_a - p_b])
    a, b = np.isin(kind, [0, 1]), np.isin(kind, [0, 2])
    gains = a.astype(float) - b.astype(float)
    result = stats.bootstrap((gains,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(1))
    interval = result.confidence_interval
    return {
        "a": a.astype(int).tolist(),
        "b": b.astype(int).tolist(),
        "difference": gains.mean(),
        "low": interval.low,
        "high": interval.high,
    }


def top_k_case(scores, truth, k):
    score = metrics.top_k_accuracy_score(truth, scores, k=k, labels=range(scores.shape[1]))
    return {"scores": scores.tolist(), "truth": list(map(int, truth)), "k": k, "top_k": score}


def clustering_case(a, b):
    return {
        "a": list(map(int, a)),
        "b": list(map(int, b)),
        "adjusted_rand": metrics.adjusted_rand_score(a, b),
        "normalised_mutual_information": metrics.normalized_mutual_info_score(a, b),
    }


def calibration_case(probabilities, truth, bins):
    """Bins of equal width (lower, upper] of the top probability; gaps averaged over images."""
    top, right = probabilities.max(1), probabilities.argmax(1) == truth
    edges, error = np.linspace(0, 1, bins + 1), 0.0
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (top > low) & (top <= high)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - top[inside].mean())
    return {"probabilities": probabilities.tolist(), "truth": list(map(int, truth)), "bins": bins, "error": error}


def worst_group_case(predicted, truth, groups):
    predicted, truth, groups = map(np.asarray, (predicted, truth, groups))
    scores = {int(g): metrics.accuracy_score(truth[groups == g], predicted[groups == g]) for g in np.unique(groups)}
    worst = min(scores, key=lambda g: (scores[g], g))
    return {"predicted": predicted.tolist(), "truth": truth.tolist(), "groups": groups.tolist(), "group": worst,
            "accuracy": scores[worst], "n": int((groups == worst).sum())}


def accuracy_case(correct):
    values = np.asarray(correct, dtype=float)
    result = stats.bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(2))
    interval = result.confidence_interval
    return {"correct": list(map(int, correct)), "mean": values.mean(), "low": interval.low, "high": interval.high}


def later_cases():
    """Drawn from a generator of their own, so that the cases above stay as they are."""
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(40, 6))
    probabilities = rng.dirichlet(np.ones(4) * 0.5, size=80)
    sure = np.eye(3)[[0, 1, 2, 0]]
    points = rng.integers(0, 8, size=300)
    near = np.where(rng.random(300) < 0.7, points, rng.integers(0, 5, size=300))
    return {
        "top_k": [top_k_case(scores, rng.integers(0, 6, size=40), k) for k in (1, 2, 5)]
        + [top_k_case(np.array([[0.2, 0.5, 0.5], [0.3, 0.3, 0.3], [0.5, 0.5, 0.1]]), np.array([1, 0, 1]), k) for k in (1, 2)],
        "clusterings": [
            clustering_case(points, near),
            clustering_case(points, rng.integers(0, 8, size=300)),
            clustering_case([0, 0, 1, 1, 2], [5, 5, 3, 3, 9]),
            clustering_case([0] * 6, [0, 1, 2, 0, 1, 2]),
            clustering_case([0] * 5, [3] * 5),
            clustering_case(range(6), range(6)),
            clustering_case(range(6), [0, 0, 0, 1, 1, 1]),
            clustering_case([0, 0, 1, 1], [0, 1, 0, 1]),
            clustering_case([0], [4]),
        ],
        "calibration": [
            calibration_case(probabilities, rng.integers(0, 4, size=80), 15),
            calibration_case(probabilities, probabilities.argmax(1), 10),
            calibration_case(sure, np.array([0, 1, 2, 1]), 15),
        ],
        "worst_groups": [
            worst_group_case([0, 1, 1, 0, 2, 2], [0, 1, 0, 0, 2, 1], [0, 0, 1, 1, 7, 7]),
            worst_group_case([0, 1], [0, 1], [3, 3]),
            worst_group_case(near % 3, points % 3, rng.integers(0, 6, size=300)),
        ],
        "accuracies": [accuracy_case(rng.random(250) < 0.7), accuracy_case(rng.random(60) < 0.95)],
    }


def alignment_case(a, b):
    """Linear CKA from the unbiased HSIC of Song et al. 2012, equation 5, written out."""

    def hsic(k, l):
        n = len(k)
        k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))
        ones = np.ones(n)
        middle = (ones @ k @ ones) * (ones @ l @ ones) / ((n - 1) * (n - 2))
        return (np.trace(k @ l) + middle - 2 / (n - 2) * ones @ k @ l @ ones) / (n * (n - 3))

    a, b = np.asarray(a, dtype=np.float32), np.asarray(b, dtype=np.float32)
    k, l = a.astype(float) @ a.T.astype(float), b.astype(float) @ b.T.astype(float)
    return {"a": a.tolist(), "b": b.tolist(), "cka": hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))}


def rank_case(a, b):
    return {"a": list(a), "b": list(b), "spearman": stats.spearmanr(a, b).statistic}


def comparison_cases():
    rng = np.random.default_rng(2)
    a = rng.normal(size=(30, 6))
    return {
        "alignments": [
            alignment_case(a, a @ rng.normal(size=(6, 9)) + 3),
            alignment_case(a, rng.normal(size=(30, 40))),
            alignment_case(a + 20, a[:, :3] ** 2),
            alignment_case(a[:4], a[:4, :2]),
        ],
        "ranks": [
            rank_case(rng.random(12).round(6).tolist(), rng.random(12).round(6).tolist()),
            rank_case([1, 1, 2, 2, 3.5, 0], [2, 2, 2, 5, 4, 1]),
            rank_case([0.1, 0.2], [5, 3]),
        ],
    }


def main():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 7, size=60)
    noisy = np.where(rng.random(60) < 0.6, truth, rng.integers(0, 7, size=60))
    golden = {
        "predictions": [
            prediction_case("random", noisy, truth, 7),
            prediction_case("all right", [0, 1, 2], [0, 1, 2], 3),
            prediction_case("all wrong", [1, 2, 0], [0, 1, 2], 3),
            prediction_case("one class always", [0] * 5, [0, 0, 1, 1, 2], 3),
            prediction_case("a class absent from both", [0, 3, 3, 0], [0, 3, 0, 0], 5),
            prediction_case("a class predicted but absent", [0, 1, 2, 2], [0, 1, 1, 0], 3),
            prediction_case("one image", [1], [1], 2),
        ],
        "intervals": [
            interval_case([0.71, 0.69, 0.74, 0.70, 0.72], 0.95),
            interval_case([0.5, 0.9], 0.95),
            interval_case([0.1, 0.2, 0.3], 0.99),
            interval_case(rng.random(30).round(6).tolist(), 0.9),
        ],
        "bootstraps": [
            bootstrap_case(rng, 300, 0.5, 0.2, 0.1),
            bootstrap_case(rng, 120, 0.6, 0.1, 0.1),
        ],
    }
    golden |= later_cases() | comparison_cases()
    path = pathlib.Path("tests/golden/metrics.json.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress((json.dumps(golden) + "\n").encode(), mtime=0))
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
