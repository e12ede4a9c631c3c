"""A collector of OpenTelemetry metrics, to which a real Airflow reports."""

from __future__ import annotations

import gzip
from typing import Any

from dev.harness.http_server import HttpServer, QuietHandler


class Collector(HttpServer):
    """Listens for metrics (OTLP over HTTP), and keeps the latest number of each metric of the callbacks.

    By name and by the tag ``connection``, `counts` holds the values of counters and how many values a histogram has,
    and `gauges` holds the values of gauges.
    """

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str | None], float] = {}
        self.gauges: dict[tuple[str, str | None], float] = {}
        collector = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
                self.send_response(200)
                self.end_headers()

        super().__init__(Handler)

    @property
    def environ(self) -> dict[str, str]:
        """Environment variables that let Airflow report to this collector."""
        return {
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "AIRFLOW__METRICS__OTEL_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__OTEL_PORT": self.url.rpartition(":")[2],
            "AIRFLOW__METRICS__OTEL_INTERVAL_MILLISECONDS": "500",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{self.url}/v1/metrics",
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
        }

    def take(self, body: bytes) -> None:
        """Keep the metrics of a request."""
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        request: Any = ExportMetricsServiceRequest()
        request.ParseFromString(body)
        for metric in (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics):
            if metric.name.startswith("airflow.whiterabbit.callbacks."):
                for kind in ("sum", "histogram", "exponential_histogram", "gauge"):
                    for point in getattr(metric, kind).data_points:
                        self._keep(self.gauges if kind == "gauge" else self.counts, metric.name, point)

    def _keep(self, values: dict[tuple[str, str | None], float], name: str, point: Any) -> None:
        tags = {attribute.key: attribute.value.string_value for attribute in point.attributes}
        value = point.count if hasattr(point, "count") else point.as_double or point.as_int
        values[name.removeprefix("airflow."), tags.get("connection")] = value
