"""Golden values of what a set of images is checked with, from cleanlab, scikit-learn and CleanVision.

    python -m venv .venv && .venv/bin/pip install -r tests/reference/requirements-soundness.txt
    .venv/bin/python tests/reference/soundness.py

Run from the repository's root; writes tests/golden/soundness.json. cleanlab leaves the order of equal values to numpy's
default sort, which differs between processors; here numpy sorts stably, so that the lower row comes first.
"""

import functools
import json
import pathlib
import warnings

import numpy as np
from PIL import Image

numpy_argsort = np.argsort
np.argsort = functools.partial(numpy_argsort, kind="stable")
warnings.filterwarnings("ignore")

import pandas as pd
from cleanlab.count import compute_confident_joint
from cleanlab.datalab.internal.issue_manager.outlier import OutlierIssueManager
from cleanlab.filter import find_label_issues
from cleanlab.internal.outlier import correct_precision_errors, transform_distances_to_scores
from cleanvision.issue_managers.image_property_issue_manager import ImagePropertyIssueManager
from sklearn.neighbors import NearestNeighbors


def probabilities(rng, labels, k, sharp, digits):
    logits = rng.normal(size=(len(labels), k)) + sharp * np.eye(k)[labels]
    p = np.exp(logits)
    p /= p.sum(1, keepdims=True)
    if digits:
        p = np.round(p, digits)
    return p


def issue_cases():
    cases = [
        # name, rows, classes, sharpness, wrong labels, digits kept, classes without images
        ("three classes", 60, 3, 2.0, 0.1, 5, []),
        ("two classes", 40, 2, 1.5, 0.2, 5, []),
        ("many wrong", 80, 4, 2.0, 0.4, 5, []),
        ("nothing learned", 60, 5, 0.0, 0.0, 5, []),
        ("a class without images", 60, 5, 2.0, 0.1, 5, [3]),
        ("two classes without images, the last", 50, 6, 2.0, 0.15, 5, [0, 5]),
        ("twenty classes", 160, 20, 2.5, 0.1, 4, []),
        ("one digit, many ties", 80, 4, 1.0, 0.2, 1, []),
        ("sure", 50, 4, 30.0, 0.1, 2, []),
        ("rare classes", 40, 12, 1.0, 0.1, 3, []),
    ]
    for seed, (name, n, k, sharp, wrong, digits, missing) in enumerate(cases):
        rng = np.random.default_rng(seed)
        present = [c for c in range(k) if c not in missing]
        truth = rng.choice(present, size=n)
        p = probabilities(rng, truth, k, sharp, digits)
        labels = np.where(rng.random(n) < wrong, rng.choice(present, size=n), truth)
        joint = compute_confident_joint(labels, p)
        issues = find_label_issues(labels, p, return_indices_ranked_by="self_confidence", n_jobs=1)
        yield {
            "name": name,
            "labels": labels.tolist(),
            "probabilities": p.tolist(),
            "joint": joint.tolist(),
            "issues": issues.tolist(),
        }


def outlier_cases():
    for seed, (name, n, d, k) in enumerate([("plain", 60, 6, 10), ("copies", 40, 5, 5), ("fewer than k", 8, 4, 10)]):
        rng = np.random.default_rng(100 + seed)
        x = rng.normal(size=(n, d)) + 3 * np.eye(d)[rng.integers(0, 2, n)]
        x = np.round(x, 3)
        if name == "copies":
            x[5:15] = x[4]
        x[-2:] = -x[:2] * 2
        k = min(k, n - 1)
        # Each row is its own neighbour in a query of the same rows, and is left out by asking for none.
        distances = NearestNeighbors(n_neighbors=k, metric="cosine").fit(x).kneighbors(None)[0]
        mean = distances.mean(1)
        scale = float(max(np.median(mean), 100 * np.finfo(float).eps))
        scores = correct_precision_errors(transform_distances_to_scores(mean, 1, scale), mean, "cosine")
        _, limit, flagged = OutlierIssueManager._compute_threshold_and_issue_column_from_distances(None, distances)
        yield {
            "name": name,
            "k": k,
            "features": x.tolist(),
            "distances": mean.tolist(),
            "scores": scores.tolist(),
            "limit": limit,
            "flagged": np.nonzero(flagged)[0].tolist(),
        }


def value(kind, a, b, c, x, y, band):
    if kind == 0:
        return a + 7 * band * b
    if kind == 1:
        return (a * x + b * y + c * band) % 256
    if kind == 2:
        return (((x * x * 31 + y * 57 + band * c) * 2654435761 + x * y * 40503) >> 7) % a + b
    if kind == 3:
        return b if (x // a + y // a) % 2 == 0 else c
    return b - band * 10 if (x * 3 + y) % a == 0 else c + band * 5


def picture(width, height, recipe, grey):
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    for y in range(height):
        for x in range(width):
            for band in range(3):
                pixels[y, x, band] = min(max(value(*recipe, x, y, 0 if grey else band), 0), 255)
    return Image.fromarray(pixels[:, :, 0] if grey else pixels)


PICTURES = [
    # width, height, recipe, grey
    (40, 30, (0, 5, 1, 0), False), (40, 30, (0, 250, 0, 0), False), (64, 64, (0, 120, 3, 0), False),
    (50, 50, (1, 3, 5, 40), False), (50, 50, (1, 1, 1, 0), False), (100, 30, (1, 2, 7, 90), False),
    (30, 100, (1, 1, 2, 10), False), (70, 70, (2, 256, 0, 17), False), (70, 70, (2, 40, 10, 17), False),
    (70, 70, (2, 30, 220, 3), False), (200, 90, (2, 256, 0, 5), False), (90, 131, (2, 200, 30, 9), False),
    (64, 64, (3, 8, 0, 255), False), (64, 64, (3, 1, 100, 110), False), (65, 64, (3, 3, 240, 255), False),
    (129, 257, (3, 16, 20, 60), False), (48, 48, (4, 7, 200, 30), False), (48, 48, (4, 50, 40, 10), False),
    (50, 50, (1, 3, 5, 0), True), (90, 60, (2, 256, 0, 0), True), (64, 64, (3, 8, 250, 255), True),
    (1, 1, (0, 9, 9, 0), False), (2, 3, (1, 90, 50, 7), False), (640, 6, (1, 1, 30, 5), False),
]
NAMES = {
    "dark": "dark", "light": "light", "blurry": "blurry", "low_information": "low information",
    "odd_aspect_ratio": "odd aspect", "odd_size": "odd size", "grayscale": "grey",
}


def appearance_cases():
    manager = ImagePropertyIssueManager()
    images = [picture(*case) for case in PICTURES]
    rows = []
    for image in images:
        row = {}
        for property in manager.image_properties.values():
            row.update(property.calculate(image))
        rows.append(row)
    raw = pd.DataFrame(rows)
    checks = {}
    for issue, property in manager.image_properties.items():
        params = manager.params[issue]
        scores = property.get_scores(raw_scores=raw[property.score_columns], issue_type=issue, **params)
        flagged = property.mark_issue(scores, issue, params.get("threshold"))
        checks[NAMES[issue]] = list(zip(scores.iloc[:, 0].astype(float), flagged.iloc[:, 0].astype(bool)))
    for i, ((width, height, recipe, grey), row) in enumerate(zip(PICTURES, rows)):
        yield {
            "name": f"{width}x{height} {recipe}{' grey' if grey else ''}",
            "width": width,
            "height": height,
            "recipe": recipe,
            "grey": grey,
            "percentiles": [float(row[f"brightness_perc_{p}"]) for p in [1, 5, 10, 15, 90, 95, 99]],
            "brightness": float(row["brightness"]),
            "entropy": float(row["entropy"]),
            "edges": float(row["blurriness"]),
            "histogram_spread": float(row["blurriness_grayscale_std"]),
            "aspect": float(row["aspect_ratio"]),
            "size": float(row["size"]),
            "checks": {name: [float(of[i][0]), bool(of[i][1])] for name, of in checks.items()},
        }


golden = {
    "label_issues": list(issue_cases()),
    "outliers": list(outlier_cases()),
    "appearance": list(appearance_cases()),
}
text = json.dumps(golden, separators=(",", ":")).replace('{"name"', '\n{"name"')
pathlib.Path("tests/golden/soundness.json").write_text(text + "\n")
