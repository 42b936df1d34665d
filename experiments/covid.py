"""COVID-19 against other pneumonia on halves that share no source, then what `compare-networks.py` does with them.

usage: python experiments/covid.py experiments/covid.toml [--only NETWORK] [--table]
"""

from __future__ import annotations

import runpy
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsnap.tables import Manifest, read_manifest, sources, write_manifest

COVID = "cxr_covid"


def half(manifest: Manifest, name: str, told: dict[str, Any]) -> pd.DataFrame:
    """The rows of one half: COVID-19 of some publishers, pneumonia of one source. `kind` names the half."""
    frame = manifest.frame
    licensed = (frame["licence"] != "") == told["licensed"]
    covid = (sources(manifest) == COVID) & licensed
    other = (sources(manifest) == told["pneumonia"]) & (frame["Pneumonia"] == 1)
    rows = frame[covid | other]
    return rows.assign(**{"kind": name, "COVID-19": np.where(covid[covid | other], 1.0, 0.0)})


def main() -> None:
    plan = tomllib.loads(Path(sys.argv[1]).read_text())
    target = Path(plan["data"])
    if not target.exists():
        manifest = read_manifest(plan["gathered"])
        frame = pd.concat([half(manifest, name, told) for name, told in plan["halves"].items()])
        target.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(Manifest(frame.reset_index(drop=True), manifest.root), target)
        print(pd.crosstab([frame["kind"], frame["COVID-19"]], frame["split"]))
    runpy.run_path(str(Path(__file__).with_name("compare-networks.py")), run_name="__main__")


if __name__ == "__main__":
    main()
