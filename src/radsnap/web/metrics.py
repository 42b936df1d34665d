"""Figures for Prometheus; none of them says anything about a picture or a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import Scope

from radsnap.web.workers import Counts

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)


class Metrics:
    """One server's figures, in a registry of its own."""

    def __init__(self, counts: Callable[[], Counts]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "radsnap_requests", "Requests by route, method and status.", ("route", "method", "status"),
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "radsnap_request_seconds", "Time to answer, by route.", ("route",), buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.stages = Histogram(
            "radsnap_stage_seconds", "Time of a reading's stages.", ("stage",), buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.readings = Counter(
            "radsnap_readings", "Pictures by how their reading ended.", ("end",), registry=self.registry
        )
        for name, told, value in (
            ("radsnap_workers_ready", "Workers with their networks loaded.", lambda: counts().ready),
            ("radsnap_queue_waiting", "Pictures that wait.", lambda: counts().waiting),
            ("radsnap_workers_replaced", "Workers that died or took too long.", lambda: counts().replaced),
        ):
            Gauge(name, told, registry=self.registry).set_function(value)

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count and time a request by its route's template: an id in a path would be a label without end.

        A method may be any word, so one that is not HTTP's is `other`.
        """
        route = route_of(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.requests.labels(route, method, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def read(self, ms: Mapping[str, float]) -> None:
        """Note a reading's stages."""
        for stage, spent in ms.items():
            self.stages.labels(stage).observe(spent / 1000)

    def text(self) -> bytes:
        """Give all figures in Prometheus' text format."""
        return generate_latest(self.registry)


def route_of(scope: Scope) -> str:
    """Name a request by its route's template: what stands in a path may be an id, or a name someone typed."""
    route = getattr(scope.get("route"), "path", None)
    # files of ours are under mounts, whose scope keeps no route
    start = next((start for start in ("/static/", "/serving/") if scope["path"].startswith(start)), "unknown")
    return str(route) if route else start
