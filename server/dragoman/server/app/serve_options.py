"""Every option of `dragoman serve`, declared once."""

from dataclasses import dataclass

from dragoman.bundle.rules import MAX_BEAM_SIZE
from dragoman.server.app.option_parsing import option
from dragoman.server.core.limits import MAX_HYPOTHESES
from dragoman.server.runtime.hardware import usable_cpus

GPU_LANES = 2
"""One thinks while the other's step is on the device."""


@dataclass(frozen=True)
class ServeOptions:
    """What `dragoman serve` can be told."""

    bundles: tuple[str, ...] = option((), "Bundle directories to serve.", positional="DIR", default_text="none")
    models: str = option(
        "",
        "Directory of bundles, NAME or NAME/VERSION: what comes, changes or goes in it is followed.",
        default_text="none",
    )
    glossaries: str = option(
        "",
        "Directory of glossaries that requests name, NAME.tsv for all models and MODEL/NAME.tsv for one.",
        default_text="none",
    )
    look_s: float = option(
        10.0,
        "How often directories are looked at for changes, which SIGHUP asks for at once; 0: only then.",
        min=0,
        max=86_400,
        unit="seconds",
    )
    listen: str = option("127.0.0.1:50051", "Where gRPC is served; port 0 takes a free one.", kind="address")
    admin_listen: str = option(
        "",
        "Where operators load and unload bundles, over gRPC; port 0 takes a free one.",
        kind="address",
        default_text="nowhere",
    )
    metrics_listen: str = option(
        "127.0.0.1:9464", "Where /metrics, /healthz and /livez are served; port 0 takes a free one.", kind="address"
    )
    probe_listen: str = option(
        "",
        "Where /healthz and /livez are served apart from /metrics; port 0 takes a free one.",
        kind="address",
        default_text="with /metrics",
    )
    tls_certificate: str = option(
        "", "PEM file with the certificate that gRPC is served with, and those that signed it.", default_text="no TLS"
    )
    tls_key: str = option("", "PEM file with its key.", default_text="none")
    tls_client_ca: str = option(
        "", "PEM file with those who sign certificates of clients, which then need one.", default_text="none needed"
    )
    plaintext: str = option(
        "loopback",
        "On which addresses gRPC may be served without TLS: such as only this machine can reach, or any.",
        choices=("loopback", "any"),
    )
    tokens: str = option(
        "", "TOML file with the hashes of callers' tokens; who has none of them is refused.", default_text="none needed"
    )
    provider: str = option(
        "cpu", "What the graphs run on: this machine's processors, or a GPU of NVIDIA's.", choices=("cpu", "cuda")
    )
    device: int = option(0, "Which GPU, as CUDA counts them.", min=0, max=1023)
    lanes: int = option(
        0,
        "Threads that decode, for each bundle.",
        min=0,
        max=1024,
        default_text=f"{GPU_LANES} with cuda, else the CPU quota rounded up, else the usable CPUs",
    )
    threads_per_lane: int = option(1, "Threads of ONNX Runtime within one run of a graph.", min=1, max=1024)
    max_batch: int = option(
        0,
        "Sources of each half of a lane, light and bulk.",
        min=0,
        max=4096,
        unit="segments",
        default_text="256 with cuda, else 16 for a model with a lexical shortlist, or 32; thrice that as many wait",
    )
    lane_memory: int = option(
        0,
        "Memory that a lane may fill with keys and values; what the rest has no room for waits, or is refused.",
        min=0,
        max=1_048_576,
        unit="MiB",
        default_text="a third of the memory limit, or of the machine's, divided among the lanes of all bundles",
    )
    backlog_tokens: int = option(
        65_536,
        "Source tokens admitted and not yet answered, for each bundle, before requests are turned away.",
        min=1,
        max=2_147_483_647,
        unit="tokens",
    )
    cache_bytes: int = option(
        0,
        "Remembered decoding of all bundles, for requests like earlier ones; 0 remembers nothing.",
        min=0,
        max=1_099_511_627_776,
        unit="bytes",
    )
    max_texts: int = option(1024, "Texts in one request.", min=1, max=1_000_000, unit="texts")
    max_terms: int = option(
        1_000,
        "Terms in one request, besides those of glossaries; four forms for each, taken together.",
        min=0,
        max=50_000,
        unit="terms",
    )
    max_text_bytes: int = option(131_072, "One text in UTF-8.", min=1, max=1_073_741_824, unit="bytes")
    max_request_bytes: int = option(4_194_304, "One gRPC message received.", min=1024, max=1_073_741_824, unit="bytes")
    max_unfinished_bytes: int = option(
        134_217_728,
        "Messages of which a part is still to come, each counted as large as it may be; the oldest end beyond that.",
        min=1024,
        max=1_099_511_627_776,
        unit="bytes",
    )
    message_timeout_s: float = option(
        10.0, "How long the message of a call may take to arrive.", min=0.1, max=86_400, unit="seconds"
    )
    max_calls: int = option(
        16_384, "Calls open at a time; beyond nine tenths new ones are refused.", min=16, max=1_000_000, unit="calls"
    )
    max_connections: int = option(
        4_096,
        "Connections of gRPC open at a time, or as many as file descriptors allow; more are closed at once.",
        min=1,
        max=1_000_000,
        unit="connections",
    )
    max_unread_bytes: int = option(
        67_108_864,
        "Answers that clients have not taken yet; beyond that, the call whose client took nothing for longest ends.",
        min=1,
        max=1_099_511_627_776,
        unit="bytes",
    )
    unread_timeout_s: float = option(
        60.0, "How long a client may leave an answer unread before its call ends.", min=0.1, max=86_400, unit="seconds"
    )
    max_beam_size: int = option(
        16, "Widest beam that a request may ask for.", min=1, max=MAX_BEAM_SIZE, unit="hypotheses"
    )
    max_hypotheses: int = option(
        32, "Hypotheses of a text that a request may have drawn.", min=1, max=MAX_HYPOTHESES, unit="hypotheses"
    )
    drain_grace_s: float = option(
        30.0, "How long requests in flight may go on after a stop signal.", min=0, max=86_400, unit="seconds"
    )
    stall_seconds: float = option(
        30.0,
        "How long a lane with work may stand still before the server is no longer live; after as long again it ends.",
        min=0.1,
        max=86_400,
        unit="seconds",
    )
    log_level: str = option("info", "Least severe log that is written.", choices=("debug", "info", "warning", "error"))
    log_requests: str = option("all", "Whether each request is a line of the log.", choices=("all", "none"))
    traces: str = option(
        "",
        "OTLP endpoint over HTTP that spans are sent to, such as http://127.0.0.1:4318/v1/traces.",
        kind="url",
        default_text="none",
    )
    trace_ratio: float = option(
        1.0, "How many of the traces are kept that begin here; others are as their callers say.", min=0, max=1
    )
    log_format: str = option("text", "Form of a log line.", choices=("text", "json"))

    @property
    def num_lanes(self) -> int:
        """Those that were asked for, or that the hardware is best used by."""
        return self.lanes or (GPU_LANES if self.provider == "cuda" else usable_cpus())
