"""Time the bootstrap beside a loop over scikit-learn, and count how often its intervals cover.

usage: python bench/measure.py [--coverage]

A study as published: 10 models, 5 tasks, 2 domains, 500 studies, 10,000 paired resamples; and a large
one: 25,000 studies, 14 findings, 1,000 resamples. The loop resamples rows and calls roc_auc_score; it
is timed on 20 resamples in the same run. Times are of the processor, on one thread, so that other work
on the machine does not count; the wall clock stands beside. --coverage simulates 1,000 data sets for
AUROC and for MCC.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from typing import Any

# Small products of matrices: BLAS threads wait for each other more than they help. Before NumPy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from radsnap import measure

MODELS, TASKS, DOMAINS, STUDIES, REPLICATES = 10, 5, 2, 500, 10_000
LOOPED = 20


def study(rng: np.random.Generator, n: int, tasks: int, columns: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Simulate truths (tasks, n) and scores (tasks, columns, n)."""
    truth = (rng.random((tasks, n)) < np.linspace(0.07, 0.35, tasks)[:, None]).astype(int)
    return truth, np.round(truth[:, None, :] * 1.5 + rng.normal(size=(tasks, columns, n)), 3)


def paired_study() -> float:
    """Take intervals of all scores and of all differences between domains. Returns processor seconds."""
    truth, score = study(np.random.default_rng(1), STUDIES, TASKS, MODELS * DOMAINS)
    start = time.process_time()
    plan = measure.resample(STUDIES, REPLICATES, seed=1)
    areas = [measure.weighted(measure.auroc, truth[t], s) for t in range(TASKS) for s in score[t]]
    drawn = measure.replicate(areas, plan.blocks()).reshape(-1, TASKS, DOMAINS, MODELS)
    for t in range(TASKS):
        for m in range(MODELS):
            digital, photo = drawn[:, t, 0, m], drawn[:, t, 1, m]
            measure.summarise(0.0, digital, plan, STUDIES)
            measure.summarise(0.0, photo, plan, STUDIES)
            measure.summarise(0.0, photo - digital, plan, STUDIES, difference=True)
    return time.process_time() - start


def looped_study() -> float:
    """Time the loop over scikit-learn on a few resamples. Returns processor seconds for all of them."""
    truth, score = study(np.random.default_rng(1), STUDIES, TASKS, MODELS * DOMAINS)
    rng = np.random.default_rng(2)
    start = time.process_time()
    for _ in range(LOOPED):
        rows = rng.integers(0, STUDIES, STUDIES)
        for t in range(TASKS):
            for column in score[t]:
                roc_auc_score(truth[t][rows], column[rows])
    return (time.process_time() - start) / LOOPED * REPLICATES


def large_study() -> float:
    """Take intervals of 14 findings on 25,000 studies. Returns processor seconds."""
    truth, score = study(np.random.default_rng(3), 25_000, 14, 1)
    start = time.process_time()
    plan = measure.resample(25_000, 1_000, seed=1)
    areas = [measure.weighted(measure.auroc, truth[t], score[t, 0]) for t in range(14)]
    drawn = measure.replicate(areas, plan.blocks())
    for column in drawn.T:
        measure.summarise(0.0, column, plan, 25_000)
    return time.process_time() - start


def coverage(metric: measure.Metric, true: float, data_sets: int = 1_000) -> float:
    """Count how often a 95 % interval holds the true value. Returns the share."""
    rng = np.random.default_rng(20)
    hits = 0
    for i in range(data_sets):
        truth = (rng.random(300) < 0.35).astype(int)
        score = truth + rng.normal(size=300)
        values = score if metric is measure.auroc else (score > 0.5).astype(int)
        found = measure.estimate(metric, truth, values, replicates=1_000, seed=i)
        hits += isinstance(found, measure.Estimate) and found.low <= true <= found.high
    return hits / data_sets


def true_mcc(prevalence: float = 0.35, cut: float = 0.5) -> float:
    """Give the MCC of the simulation's population."""
    tpr, fpr = stats.norm.sf(cut - 1), stats.norm.sf(cut)
    called = prevalence * tpr + (1 - prevalence) * fpr
    return float((tpr - fpr) * np.sqrt(prevalence * (1 - prevalence) / (called * (1 - called))))


def main() -> None:
    """Print the figures; exit 1 when one misses its bar."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--coverage", action="store_true", help="also simulate 1,000 data sets (a minute)")
    options = parser.parse_args()
    started = time.perf_counter()
    ours = paired_study()
    wall = time.perf_counter() - started
    loop, large = looped_study(), large_study()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"10 models x 5 tasks x 2 domains x 500 studies x 10,000 resamples: {ours:.2f} s (bar 6), wall {wall:.2f} s"
    )
    print(
        f"the same by a loop over roc_auc_score, from {LOOPED} resamples: {loop:.0f} s, {loop / ours:.0f} times (bar 200)"
    )
    print(f"25,000 studies x 14 findings x 1,000 resamples: {large:.2f} s (bar 30)")
    print(f"peak memory: {peak:.0f} MB (bar 1000)")
    good = ours <= 6 and loop / ours >= 200 and large <= 30 and peak <= 1000
    if options.coverage:
        for name, share in (
            ("AUROC", coverage(measure.auroc, float(stats.norm.cdf(1 / np.sqrt(2))))),
            ("MCC", coverage(measure.mcc, true_mcc())),
        ):
            print(f"coverage of 95 % intervals of {name}, 1,000 data sets: {share:.3f} (bar 0.93 to 0.97)")
            good = good and 0.93 <= share <= 0.97
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
