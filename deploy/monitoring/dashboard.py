"""The Grafana dashboard, said once; `generate.py` writes it to dashboard.json.

A panel is a title, a sentence on what to read in it, a unit, and PromQL with its legends. Every expression selects by
the dashboard's variables; what a rule records has kept the job and the instance at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PROCESS = 'job=~"$job", instance=~"$instance"'
MODEL = f'{PROCESS}, model=~"$model"'
REQUEST = f'{PROCESS}, model=~"$model|none"'
"""A request that ends before it is known which model it means has the model `none`."""
VALID = 'outcome!~"invalid|unsupported|not_found|unauthenticated|forbidden|too_many_calls|cancelled|unread"'
FAILED = 'outcome=~"overloaded|unmeetable|deadline|draining|engine_error|internal"'
ANSWERED = 'answered="true"'
DEVICE_STEPS = f'dragoman_device_runs_total{{{MODEL}, graph=~"device.step|device.asked|device.stride"'
REPLAYED = ', replayed="true"}'
AVAILABILITY, FAST = 0.999, 0.99
"""The objectives: requests that do not fail, and answers within half a second. rules.yaml has the same."""


@dataclass(frozen=True)
class Panel:
    """One picture. `queries` are legends with their expressions; a number below its `objective` is red."""

    title: str
    description: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    objective: float | None = None


def quantile(q: float, bucket: str, by: str = "le") -> str:
    """A quantile of a histogram's recent observations."""
    return f"histogram_quantile({q}, sum by ({by}) (rate({bucket}[$__rate_interval])))"


def quantiles(bucket: str, *, qs: tuple[float, ...] = (0.5, 0.9, 0.99)) -> dict[str, str]:
    """Several quantiles, each with its legend."""
    return {f"p{q * 100:g}": quantile(q, bucket) for q in qs}


def per_second(by: str, counter: str) -> str:
    """A counter's rates by a label."""
    return f"sum by ({by}) (rate({counter}[$__rate_interval]))"


def mean(histogram: str, labels: str) -> str:
    """The mean of a histogram's recent observations."""
    return f"{total(f'{histogram}_sum{{{labels}}}')} / {total(f'{histogram}_count{{{labels}}}')}"


def total(counter: str) -> str:
    """A counter's rate over all series."""
    return f"sum(rate({counter}[$__rate_interval]))"


def in_range(counter: str) -> str:
    """How far a counter went in the shown time."""
    return f"sum(increase({counter}[$__range]))"


REQUESTS = "dragoman_requests_total"
DURATION = "dragoman_request_duration_seconds"
STAGE = "dragoman_request_stage_duration_seconds"
SPANS = "dragoman_protected_spans_total"
READ_SPANS = per_second("model", f'{SPANS}{{{MODEL}, keeping!="as_it_was"}}')
MORE_THAN_A_FORM = per_second("model", f'{SPANS}{{{MODEL}, keeping=~"alignment|cut|appended"}}')
ERROR_RATIO = f"{in_range(f'{REQUESTS}{{{REQUEST}, {FAILED}}}')} / {in_range(f'{REQUESTS}{{{REQUEST}, {VALID}}}')}"
FAST_RATIO = (
    f'{in_range(f"""{DURATION}_bucket{{{MODEL}, {ANSWERED}, le="0.5"}}""")}'
    f" / {in_range(f'{DURATION}_count{{{MODEL}, {ANSWERED}}}')}"
)

ROWS: dict[str, list[Panel]] = {
    "Objectives": [
        Panel(
            "Availability",
            f"Valid requests that did not fail, over the shown time. The objective is {AVAILABILITY:.1%}.",
            "percentunit",
            {"available": f"1 - {ERROR_RATIO}"},
            kind="stat",
            width=4,
            objective=AVAILABILITY,
        ),
        Panel(
            "Answered within 0.5 s",
            f"Of the answered requests, over the shown time. The objective is {FAST:.0%}.",
            "percentunit",
            {"fast": FAST_RATIO},
            kind="stat",
            width=4,
            objective=FAST,
        ),
        Panel(
            "Error budget left",
            "What may still fail, as a part of what may fail in the shown time.",
            "percentunit",
            {"left": f"1 - ({ERROR_RATIO}) / {1 - AVAILABILITY:.3g}"},
            kind="stat",
            width=4,
            objective=0.0,
        ),
        Panel(
            "Burn rate: failures",
            "1 spends the error budget exactly; 14.4 over an hour wakes somebody.",
            "none",
            {
                "1 h": f'job:dragoman_requests:error_ratio_rate1h{{job=~"$job"}} / {1 - AVAILABILITY:.3g}',
                "5 min": f'job:dragoman_requests:error_ratio_rate5m{{job=~"$job"}} / {1 - AVAILABILITY:.3g}',
            },
            width=6,
        ),
        Panel(
            "Burn rate: slow answers",
            "The same for answers that took more than half a second.",
            "none",
            {
                "1 h": f'job:dragoman_requests:slow_ratio_rate1h{{job=~"$job"}} / {1 - FAST:.3g}',
                "5 min": f'job:dragoman_requests:slow_ratio_rate5m{{job=~"$job"}} / {1 - FAST:.3g}',
            },
            width=6,
        ),
    ],
    "Traffic": [
        Panel(
            "Requests by outcome",
            "How requests end. The sum of all outcomes is the number of requests.",
            "reqps",
            {"{{outcome}}": per_second("outcome", f"{REQUESTS}{{{REQUEST}}}")},
            stacked=True,
        ),
        Panel(
            "Calls by method",
            "RPCs as gRPC counts them; a pipe is one call of many requests.",
            "reqps",
            {"{{grpc_method}}": per_second("grpc_method", f"grpc_server_started_total{{{PROCESS}}}")},
        ),
        Panel(
            "Calls that did not end with OK",
            "By gRPC status.",
            "reqps",
            {"{{grpc_code}}": per_second("grpc_code", f'grpc_server_handled_total{{{PROCESS}, grpc_code!="OK"}}')},
        ),
        Panel(
            "Requests in flight",
            "Arrived and not yet ended.",
            "short",
            {"in flight": f"sum(dragoman_requests_started_total{{{PROCESS}}}) - sum({REQUESTS}{{{PROCESS}}})"},
        ),
        Panel(
            "Messages",
            "Of all calls, both ways.",
            "cps",
            {
                "received": total(f"grpc_server_msg_received_total{{{PROCESS}}}"),
                "sent": total(f"grpc_server_msg_sent_total{{{PROCESS}}}"),
            },
        ),
        Panel(
            "Texts by outcome",
            "A request holds one text or many; one of them can fail alone.",
            "cps",
            {"{{outcome}}": per_second("outcome", f"dragoman_texts_total{{{MODEL}}}")},
        ),
    ],
    "Latency": [
        Panel(
            "Answered requests",
            "From arrival to answer. Requests that failed are not in it: a refusal is quick.",
            "s",
            {**quantiles(f"{DURATION}_bucket{{{MODEL}, {ANSWERED}}}"), "mean": mean(DURATION, f"{MODEL}, {ANSWERED}")},
        ),
        Panel(
            "Answered requests, distribution",
            "How many took how long. Two bands are two kinds of requests.",
            "s",
            {"{{le}}": f"sum by (le) (increase({DURATION}_bucket{{{MODEL}, {ANSWERED}}}[$__rate_interval]))"},
            kind="heatmap",
        ),
        Panel(
            "p99 by model and engine",
            "Answered requests; `none` had nothing to decode.",
            "s",
            {
                "{{model}} {{engine}}": quantile(
                    0.99, f"{DURATION}_bucket{{{MODEL}, {ANSWERED}}}", by="model, engine, le"
                )
            },
        ),
        Panel(
            "Requests without an answer",
            "How long it took to fail: refusals at once, deadlines late.",
            "s",
            quantiles(f'{DURATION}_bucket{{{REQUEST}, answered="false"}}', qs=(0.5, 0.99)),
        ),
        Panel(
            "p99 of calls by method",
            "With reading and writing of messages; long for streams.",
            "s",
            {
                "{{grpc_method}}": quantile(
                    0.99, f"grpc_server_handling_seconds_bucket{{{PROCESS}}}", by="grpc_method, le"
                )
            },
        ),
        Panel(
            "Size of answered requests",
            "Latency follows the target's length: look here before blaming the server.",
            "short",
            {
                "source p50": quantile(0.5, f"dragoman_request_source_tokens_bucket{{{MODEL}}}"),
                "source p99": quantile(0.99, f"dragoman_request_source_tokens_bucket{{{MODEL}}}"),
                "target p50": quantile(0.5, f"dragoman_request_target_tokens_bucket{{{MODEL}}}"),
                "target p99": quantile(0.99, f"dragoman_request_target_tokens_bucket{{{MODEL}}}"),
            },
        ),
    ],
    "Stages": [
        Panel(
            "Where the time of an answered request goes",
            "Mean seconds a request; the stages add up to the mean. `other` is waiting for the event loop or a reader.",
            "s",
            {
                "{{stage}}": f'{per_second("stage", f"""{STAGE}_sum{{{MODEL}, stage!="unanswered"}}""")}'
                f" / scalar(sum(rate({DURATION}_count{{{MODEL}, {ANSWERED}}}[$__rate_interval])))"
            },
            width=12,
            stacked=True,
        ),
        Panel(
            "p99 of each stage",
            "Percentiles of stages do not add up; the longest one is where to look.",
            "s",
            {"{{stage}}": quantile(0.99, f'{STAGE}_bucket{{{MODEL}, stage!="unanswered"}}', by="stage, le")},
            width=12,
        ),
    ],
    "Lanes and batches": [
        Panel(
            "Segments",
            "Waiting for a slot in a lane, and being decoded.",
            "short",
            {
                "waiting": f"sum(dragoman_queue_segments{{{MODEL}}})",
                "running": f"sum(dragoman_running_segments{{{MODEL}}})",
            },
        ),
        Panel(
            "Wait",
            "How long the oldest has waited, and how long what waits will take.",
            "s",
            {
                "oldest": f"max(dragoman_queue_oldest_age_seconds{{{MODEL}}})",
                "predicted": f"max(dragoman_queue_predicted_wait_seconds{{{MODEL}}})",
            },
        ),
        Panel(
            "Rows in a batch",
            "In one run of the decoder. Latency at low load, throughput at high load.",
            "short",
            {"{{le}}": f"sum by (le) (increase(dragoman_batch_rows_bucket{{{MODEL}}}[$__rate_interval]))"},
            kind="heatmap",
        ),
        Panel(
            "Runs of the decoder",
            "One step of a batch.",
            "s",
            quantiles(f"dragoman_step_duration_seconds_bucket{{{MODEL}}}", qs=(0.5, 0.99)),
        ),
        Panel(
            "Runs of the encoder",
            "They hold up the steps of their lane.",
            "s",
            {
                **quantiles(f"dragoman_encode_duration_seconds_bucket{{{MODEL}}}", qs=(0.5, 0.99)),
                "mean": mean("dragoman_encode_duration_seconds", MODEL),
            },
        ),
        Panel(
            "Segments in a run of the encoder",
            "More of them make better use of the machine.",
            "short",
            {"mean": mean("dragoman_encode_sources", MODEL)},
        ),
        Panel(
            "Work for nothing",
            "Padding of the encoder, and rows of a batch that no living hypothesis needs.",
            "percentunit",
            {
                "padding": f"1 - {total(f'dragoman_encode_tokens_total{{{MODEL}}}')}"
                f" / {total(f'dragoman_encode_padded_tokens_total{{{MODEL}}}')}",
                "idle rows": f"1 - {total(f'dragoman_batch_used_rows_total{{{MODEL}}}')}"
                f" / {total(f'dragoman_batch_rows_sum{{{MODEL}}}')}",
            },
        ),
        Panel(
            "Lanes at work",
            "Part of the time in which lanes run graphs; 1 is saturation.",
            "percentunit",
            {
                "{{model}}": f"({per_second('model', f'dragoman_step_duration_seconds_sum{{{MODEL}}}')}"
                f" + {per_second('model', f'dragoman_encode_duration_seconds_sum{{{MODEL}}}')})"
                f" / sum by (model) (dragoman_lanes{{{MODEL}}})"
            },
        ),
        Panel(
            "Lanes that stand still",
            "How long the worst one has had work and not moved, and failures of the last ten minutes.",
            "s",
            {
                "stalled": f"max(dragoman_lane_stalled_seconds{{{MODEL}}})",
                "failures: {{reason}}": f"sum by (reason) (increase(dragoman_lane_failures_total{{{MODEL}}}[10m]))",
            },
        ),
    ],
    "GPU": [
        Panel(
            "Steps that repeat captured launches",
            "Runs of the decoder's own graphs. Where few do, requests come in sizes that were not captured.",
            "percentunit",
            {"replayed": f"{total(DEVICE_STEPS + REPLAYED)} / {total(DEVICE_STEPS + '}')}"},
        ),
        Panel(
            "Captures",
            "All lanes wait for each: there should be none for long after the start.",
            "short",
            {"captures": total(f"dragoman_device_captures_total{{{MODEL}}}")},
        ),
        Panel(
            "Memory kept by lanes",
            "Without weights, and without what a run computes in between.",
            "bytes",
            {"{{model}}": f"sum by (model) (dragoman_device_held_bytes{{{MODEL}}})"},
        ),
        Panel(
            "Copied",
            "Between host and device.",
            "Bps",
            {"{{way}}": f"sum by (way) (rate(dragoman_device_copied_bytes_total{{{MODEL}}}[$__rate_interval]))"},
        ),
    ],
    "Throughput": [
        Panel(
            "Tokens",
            "Of answered requests.",
            "cps",
            {
                "source": total(f"dragoman_source_tokens_total{{{MODEL}}}"),
                "target": total(f"dragoman_target_tokens_total{{{MODEL}}}"),
            },
        ),
        Panel(
            "Remembered segments",
            "Part of those looked up that had been decoded before, and the seconds of lanes that each second saves.",
            "percentunit",
            {
                "found": f'{total(f"""dragoman_cache_segments_total{{{MODEL}, found="true"}}""")}'
                f" / clamp_min({total(f'dragoman_cache_segments_total{{{MODEL}}}')}, 1e-9)",
                "saved": total(f"dragoman_cache_saved_seconds_total{{{MODEL}}}"),
            },
        ),
        Panel(
            "Translations by reason",
            "`length` was cut at its limit: more than a few of them are a model or a client gone wrong.",
            "cps",
            {"{{reason}}": per_second("reason", f"dragoman_translations_total{{{MODEL}}}")},
        ),
        Panel(
            "Tokens decoded for nobody",
            "Their client left, or their deadline passed.",
            "cps",
            {"{{reason}}": per_second("reason", f"dragoman_wasted_target_tokens_total{{{MODEL}}}")},
        ),
    ],
    "Texts": [
        Panel(
            "Protected spans by how they were kept",
            "Cut, appended and alignment took further decodes; lost is a defect.",
            "cps",
            {"{{keeping}}": per_second("keeping", f"{SPANS}{{{MODEL}}}")},
            stacked=True,
        ),
        Panel(
            "Warnings",
            "What results tell their readers to look at.",
            "cps",
            {"{{kind}}": per_second("kind", f"dragoman_text_warnings_total{{{MODEL}}}")},
        ),
        Panel(
            "Marks by how they were placed",
            "Tags within sentences. By position: the decoder does not say what it attends to.",
            "cps",
            {"{{placing}}": per_second("placing", f"dragoman_marks_total{{{MODEL}}}")},
            stacked=True,
        ),
        Panel(
            "Spans that took more than a form",
            "Of all protected spans that a model read.",
            "percentunit",
            {"{{model}}": f"({MORE_THAN_A_FORM} or {READ_SPANS} * 0) / {READ_SPANS}"},
        ),
    ],
    "Admission": [
        Panel(
            "Tokens admitted",
            "Source tokens in the server, as a part of what it admits.",
            "percentunit",
            {
                "{{model}}": f"sum by (model) (dragoman_admitted_tokens{{{MODEL}}})"
                f" / sum by (model) (dragoman_admission_limit_tokens{{{MODEL}}})"
            },
        ),
        Panel(
            "Requests admitted",
            "And the source tokens that wait.",
            "short",
            {
                "requests": f"sum(dragoman_admitted_requests{{{MODEL}}})",
                "waiting tokens": f"sum(dragoman_queue_tokens{{{MODEL}}})",
            },
        ),
        Panel(
            "Requests turned away",
            "As a part of all.",
            "percentunit",
            {
                "{{outcome}}": per_second(
                    "outcome", f'{REQUESTS}{{{REQUEST}, outcome=~"overloaded|unmeetable|draining|deadline"}}'
                )
                + f" / scalar(sum(rate({REQUESTS}{{{REQUEST}}}[$__rate_interval])))"
            },
        ),
    ],
    "Overload": [
        Panel(
            "Resources",
            "How much of each is used, at the worst replica; from 0.9 on the server refuses what would use more.",
            "percentunit",
            {"{{resource}}": f"max by (resource) (dragoman_resource_used_ratio{{{PROCESS}}})"},
        ),
        Panel(
            "Resources that are short",
            "1 while a resource is nearly used up somewhere.",
            "short",
            {"{{resource}}": f"max by (resource) (dragoman_overload{{{PROCESS}}})"},
        ),
        Panel(
            "Calls ended to spare a resource",
            "With RESOURCE_EXHAUSTED and the pause before another try.",
            "reqps",
            {"{{resource}}": per_second("resource", f"dragoman_shed_total{{{PROCESS}}}")},
        ),
    ],
    "Host": [
        Panel(
            "CPU",
            "Cores in use by each process.",
            "short",
            {"{{instance}}": f"rate(process_cpu_seconds_total{{{PROCESS}}}[$__rate_interval])"},
        ),
        Panel("Memory", "Resident.", "bytes", {"{{instance}}": f"process_resident_memory_bytes{{{PROCESS}}}"}),
        Panel(
            "Event loop lag",
            "How late the event loop wakes up: everything but decoding waits for it.",
            "s",
            quantiles(f"dragoman_event_loop_lag_seconds_bucket{{{PROCESS}}}", qs=(0.5, 0.99)),
        ),
        Panel(
            "File descriptors",
            "Open; each connection is one.",
            "short",
            {"{{instance}}": f"process_open_fds{{{PROCESS}}}"},
        ),
        Panel(
            "Calls by caller",
            "By the name of the caller's token and by status; `_none` has none.",
            "reqps",
            {"{{caller}} {{grpc_code}}": per_second("caller, grpc_code", f"dragoman_caller_calls_total{{{PROCESS}}}")},
        ),
        Panel(
            "Certificate ends in",
            "How long the certificate of gRPC is good for; below 0 without TLS.",
            "s",
            {"{{instance}}": f"dragoman_tls_certificate_expires_timestamp_seconds{{{PROCESS}}} - time()"},
        ),
        Panel(
            "Bundles",
            "By state; `failed` ones lie where they should be served from.",
            "short",
            {"{{state}}": f"sum by (state) (dragoman_bundles{{{PROCESS}}})"},
        ),
        Panel(
            "Lines of the log that were dropped",
            "Nobody reads the log, or its disk is full. The server does not wait for it.",
            "cps",
            {"{{instance}}": f"rate(dragoman_log_lines_dropped_total{{{PROCESS}}}[$__rate_interval])"},
        ),
        Panel(
            "Garbage collections",
            "Of Python, by generation.",
            "cps",
            {"{{generation}}": per_second("generation", f"python_gc_collections_total{{{PROCESS}}}")},
        ),
        Panel(
            "What serves",
            "Versions, and on what models run.",
            "none",
            {
                "{{model}} {{precision}} on {{provider}}": "sum by (model, precision, provider)"
                f" (dragoman_model_info{{{MODEL}}})",
                "dragoman {{version}}, onnxruntime {{onnxruntime}} for {{onnxruntime_build}}": "sum by (version,"
                f" onnxruntime, onnxruntime_build) (dragoman_build_info{{{PROCESS}}})",
                "seconds to load {{model}}": f"max by (model) (dragoman_model_load_seconds{{{MODEL}}})",
            },
        ),
    ],
    "Replicas": [
        Panel(
            "Requests by replica",
            "gRPC clients keep their connections: one replica may get all the work.",
            "reqps",
            {"{{instance}}": 'instance:dragoman_requests:rate5m{job=~"$job", instance=~"$instance"}'},
        ),
        Panel(
            "Busiest over idlest",
            "1 is perfect balance.",
            "none",
            {
                "ratio": 'max(instance:dragoman_requests:rate5m{job=~"$job"})'
                ' / min(instance:dragoman_requests:rate5m{job=~"$job"})'
            },
        ),
        Panel(
            "State",
            "Replicas that are reached, that take requests, that drain; restarts of the last hour.",
            "short",
            {
                "reached": 'sum(up{job=~"$job"})',
                "ready": f"sum(dragoman_ready{{{PROCESS}}})",
                "draining": f"sum(dragoman_draining{{{PROCESS}}})",
                "restarts": f"sum(changes(process_start_time_seconds{{{PROCESS}}}[1h]))",
            },
        ),
    ],
}


def target(index: int, panel: Panel, legend: str, expression: str) -> dict[str, Any]:
    """One query of a panel."""
    return {
        "refId": chr(ord("A") + index),
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "expr": expression,
        "legendFormat": legend,
        "format": "heatmap" if panel.kind == "heatmap" else "time_series",
        "instant": panel.kind == "stat",
        "range": panel.kind != "stat",
    }


def options(panel: Panel) -> dict[str, Any]:
    """How a kind of panel is drawn."""
    match panel.kind:
        case "stat":
            return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}
        case "heatmap":
            return {"calculate": False, "yAxis": {"unit": panel.unit}, "color": {"mode": "scheme", "scheme": "Oranges"}}
        case _:
            return {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "lastNotNull"]}}


def picture(identifier: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    """One panel at its place."""
    custom: dict[str, Any] = {}
    if panel.stacked:
        custom = {"fillOpacity": 30, "stacking": {"mode": "normal"}}
    elif panel.kind == "timeseries" and panel.unit == "s":
        custom = {"scaleDistribution": {"type": "log", "log": 10}}  # times that matter differ by powers of ten
    defaults: dict[str, Any] = {"unit": panel.unit, "custom": custom}
    if panel.objective is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.objective}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "id": identifier,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": 8},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options(panel),
        "targets": [
            target(index, panel, legend, expression) for index, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def variable(name: str, label: str, metric: str, chosen: str) -> dict[str, Any]:
    """A variable whose values are those of a label."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "query": {"query": f"label_values({metric}, {chosen})", "refId": name},
        "definition": f"label_values({metric}, {chosen})",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }


def dashboard() -> dict[str, Any]:
    """The whole of it, as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
                "panels": [],
            }
        )
        x, y = 0, y + 1
        for panel in row:
            if x + panel.width > 24:
                x, y = 0, y + 8
            panels.append(picture(len(panels) + 1, panel, x, y))
            x += panel.width
        y += 8
    return {
        "title": "dragoman",
        "uid": "dragoman",
        "description": "Translation servers: objectives, latency stage by stage, lanes, admission, replicas.",
        "tags": ["dragoman"],
        "schemaVersion": 38,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                variable("job", "Job", "dragoman_build_info", "job"),
                variable("instance", "Instance", 'dragoman_build_info{job=~"$job"}', "instance"),
                variable("model", "Model", 'dragoman_model_info{job=~"$job"}', "model"),
            ]
        },
        "panels": panels,
    }
