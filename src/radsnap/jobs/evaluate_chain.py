"""What `diagnose` makes of a manifest's rows, beside what they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radsnap.errors import ImageError, WeightsError
from radsnap.jobs.diagnose import diagnose
from radsnap.jobs.progress import Progress, Report
from radsnap.learn.tasks import DOMAINS
from radsnap.models.card import read_card
from radsnap.models.runtime import locate
from radsnap.tables import NO_XRAY, Manifest


@dataclass(frozen=True, eq=False)
class ChainOfRows:
    """Readings of the rows that could be read, in the manifest's order, and the errors of others.

    body: (N,) what the chain says a picture shows, NO_XRAY where the gate stops it; domain: (N,) what the camera saw,
    '' where that is not said; called: (N,) 1 where the finding is likely, 0 where it is not, NaN where it is not assessed.
    """

    rows: Manifest
    body: NDArray[np.str_]
    domain: NDArray[np.str_]
    called: NDArray[np.float64]
    faults: tuple[str, ...]


def chain_of_rows(manifest: Manifest, model: str, finding: str, report: Report) -> ChainOfRows:
    """Read every row as `diagnose` does. Raises WeightsError for a model without operating points for the finding."""
    card = read_card(locate(model))
    for domain in DOMAINS:
        if finding not in card.domain(domain).operating_points:
            raise WeightsError(
                f"model {card.name} has no operating point for {finding} on {domain} pictures, which "
                "the chain is measured by; choose another with --model"
            )
    said: list[tuple[str, str, float]] = []
    keep = np.zeros(len(manifest), dtype=bool)
    faults = []
    for place, path in enumerate(manifest.frame["path"]):
        try:
            read = diagnose(manifest.root / path, model=model, lungs=None)
        except ImageError as error:
            faults.append(str(error))
            continue
        finally:
            report(Progress(place + 1, len(manifest)))
        keep[place] = True
        found = None if read.findings is None else read.findings.get(finding)
        assessed = found is not None and found.word != "not assessed"
        called = float(found.word == "likely") if found is not None and assessed else np.nan
        said.append((read.kind.label if read.kind else NO_XRAY, read.domain or "", called))
    bodies, domains, calls = zip(*said, strict=True) if said else ((), (), ())
    return ChainOfRows(
        manifest.rows(keep),
        np.array(bodies, dtype=np.str_),
        np.array(domains, dtype=np.str_),
        np.array(calls, dtype=np.float64),
        tuple(faults),
    )
