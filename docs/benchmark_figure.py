"""Draw the picture of docs/benchmark.md from simulated scores: `python docs/benchmark_figure.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from radsnap.jobs.benchmark import BenchmarkConfig, evaluate
from radsnap.jobs.benchmarking.figures import figures_of
from radsnap.measure import plots
from radsnap.seeds import stream

HERE = Path(__file__).parent
FINDINGS = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"]
STUDIES = 400
MODELS = {"robust": 0.2, "usual": 0.8, "fragile": 1.6}  # how much noise a photo adds


def main() -> None:
    """Simulate three models on digital x-rays and photos, and draw what they lose."""
    with tempfile.TemporaryDirectory() as name:
        result = evaluate(simulate(Path(name)))
    figure, _ = figures_of(result)["drops"]
    (HERE / "benchmark.png").write_bytes(plots.to_png(figure, dpi=110))


def simulate(folder: Path) -> BenchmarkConfig:
    """Write the tables of a study."""
    rng = stream(4, "benchmark", "figure")
    keys = {"Study": [f"patient{i}/study1" for i in range(STUDIES)]}
    truth = pd.DataFrame({**keys, **{f: (rng.random(STUDIES) < 0.25).astype(int) for f in FINDINGS}})
    truth.to_csv(folder / "truth.csv", index=False)
    for arm in ("digital", "photo", "decisions"):
        (folder / arm).mkdir()
    for model, noise in MODELS.items():
        clean = truth[FINDINGS] * 1.8 + rng.normal(size=(STUDIES, len(FINDINGS)))
        photo = clean + rng.normal(size=clean.shape) * noise - 0.2 * noise
        called = (clean > np.quantile(clean, 0.72)).astype(int)
        for arm, table in (("digital", clean), ("photo", photo), ("decisions", called)):
            table.assign(**keys).to_csv(folder / arm / f"{model}.csv", index=False)
    arms = {
        arm: tuple(folder / arm / f"{model}.csv" for model in MODELS)
        for arm in ("digital", "photo", "decisions")
    }
    return BenchmarkConfig(
        truth=folder / "truth.csv", output=folder / "report", replicates=1000, seed=4, **arms
    )


if __name__ == "__main__":
    main()
