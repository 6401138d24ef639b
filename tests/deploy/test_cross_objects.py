"""What holds between objects, and between objects and the server's code, which no schema knows.

A rule finds problems in an installation. Every rule is kept by all installations, and broken by its twins: copies with
one mistake, so that a rule which has gone blind fails, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dragoman.server.app.option_parsing import declared, load
from dragoman.server.app.serve_options import ServeOptions
from dragoman.server.core.addresses import split_address
from dragoman.server.core.errors import StartError

LOOPBACK = ("127.", "localhost", "[::1]")
MARGIN_S = 5
"""For the lanes to end and the last answers to leave, after everything else has had its time."""
IS_CLIENT = {"key": "dragoman/client", "operator": "In", "values": ["true"]}
FROM_CLIENTS = [{"namespaceSelector": {}, "podSelector": {"matchExpressions": [IS_CLIENT]}}]
FROM_MONITORING = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]

MAX_ANNOTATIONS_BYTES = 262_144
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")

Rule = Callable[[Any], Iterator[str]]


def options_of(installation) -> ServeOptions:
    return load(ServeOptions, {}, installation.environment).values


def selectors_match_the_pods(installation) -> Iterator[str]:
    """Whoever selects pods selects ours, by labels that the pods have."""
    labels = installation.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = {
        "Deployment": lambda spec: spec["selector"]["matchLabels"],
        "Service": lambda spec: spec.get("selector"),
        "PodDisruptionBudget": lambda spec: spec.get("selector", {}).get("matchLabels"),
        "NetworkPolicy": lambda spec: spec["podSelector"].get("matchLabels"),
        "PodMonitor": lambda spec: spec["selector"].get("matchLabels"),
    }
    for one in installation.all(*selectors):
        selector = selectors[one["kind"]](one["spec"])
        if not selector or not selector.items() <= labels.items():
            yield f"{one['kind']} {one['metadata']['name']} selects {selector}, pods are {labels}"


def ports_are_those_of_containers(installation) -> Iterator[str]:
    """A port that is named anywhere is declared by a container that runs."""
    ports = [port for container in installation.lasting for port in container.get("ports", ())]
    numbers = {port["containerPort"] for port in ports}
    names = {port["name"]: port["containerPort"] for port in installation.server["ports"]}
    for service in installation.all("Service"):
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in numbers:
                yield f"Service {service['metadata']['name']}: {port['targetPort']} is no container's port"
            # Clients of a headless service reach pods directly, at the service's own number.
            if service["spec"].get("clusterIP") == "None" and port["port"] != port["targetPort"]:
                yield f"{service['metadata']['name']}: clients would dial {port['port']}"
    for monitor in installation.all("PodMonitor"):
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            if names.get(endpoint["port"]) != split_address(options_of(installation).metrics_listen)[1]:
                yield f"PodMonitor: no metrics at {endpoint['port']}"
    services = {one["metadata"]["name"]: one["spec"]["ports"] for one in installation.all("Service")}
    for route in installation.all("GRPCRoute"):
        for backend in (backend for rule in route["spec"]["rules"] for backend in rule["backendRefs"]):
            if backend["port"] not in {port["port"] for port in services.get(backend["name"], ())}:
                yield f"GRPCRoute: nothing at {backend['name']}:{backend['port']}"


def the_server_listens_where_its_ports_say(installation) -> Iterator[str]:
    """The options in the ConfigMap open exactly the ports that the container declares, to other machines."""
    try:
        options = options_of(installation)
    except StartError as error:
        yield str(error)
        return
    unknown = installation.environment.keys() - {one.variable for one in declared(ServeOptions)}
    if unknown:
        yield f"no options of the server: {sorted(unknown)}"
    opened = {
        split_address(address)[1]
        for address in (options.listen, options.metrics_listen, options.probe_listen)
        if not address.startswith(LOOPBACK)
    }
    if opened != {port["containerPort"] for port in installation.server["ports"]}:
        yield f"the server opens {opened}, its container declares {installation.server['ports']}"


def certificates_lie_where_the_server_looks(installation) -> Iterator[str]:
    """The files of the options are those of a Secret of certificates, which is mounted there and cannot be written."""
    options = options_of(installation)
    secrets = {one["name"] for one in installation.pod["volumes"] if "secret" in one}
    folders = {one["mountPath"] for one in installation.server["volumeMounts"] if one["name"] in secrets}
    paths = {path for path in (options.tls_certificate, options.tls_key) if path}
    for path in sorted(paths - {f"{folder}/{name}" for folder in folders for name in ("tls.crt", "tls.key")}):
        yield f"{path} is in no Secret"
    if paths and options.plaintext != "loopback":
        yield "a certificate that goes missing would go unnoticed"


def a_pod_has_time_to_drain(installation) -> Iterator[str]:
    """The grace period covers the pause before the signal, the server's own grace, and a margin."""
    command = installation.server["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "sleep"
    needed_s = float(command[1]) + options_of(installation).drain_grace_s + MARGIN_S
    if installation.pod["terminationGracePeriodSeconds"] < needed_s:
        yield f"killed after {installation.pod['terminationGracePeriodSeconds']} s, needs {needed_s} s"


def liveness_is_not_readiness(installation) -> Iterator[str]:
    """A server that drains, or has too much to do, is not restarted for it; one that hangs is not merely avoided."""
    probes = installation.server
    what = {name: {key: probes[name].get(key) for key in ("grpc", "httpGet")} for name in PROBES}
    if what["livenessProbe"] == what["readinessProbe"]:
        yield "liveness asks what readiness asks"
    if what["startupProbe"] != what["readinessProbe"]:
        yield "a pod that has started is not the same as one that serves"


def the_network_policy_admits(installation) -> Iterator[str]:
    """Calls from those who have the label, scrapes from the monitoring, probes from everywhere; nothing else."""
    rules = installation.one("NetworkPolicy")["spec"]["ingress"]
    admitted = {port["port"]: rule.get("from") for rule in rules for port in rule["ports"]}
    calls = {port["targetPort"] for service in installation.all("Service") for port in service["spec"]["ports"]}
    probes = {
        next(iter(probe[kind]["port"] for kind in ("grpc", "httpGet", "tcpSocket") if kind in probe))
        for container in installation.lasting
        for name, probe in container.items()
        if name.endswith("Probe")
    }
    scrapes = split_address(options_of(installation).metrics_listen)[1]
    wanted = dict.fromkeys(calls, FROM_CLIENTS) | {scrapes: FROM_MONITORING} | dict.fromkeys(probes)
    for port in sorted({*wanted, *admitted}):
        if port not in admitted or port not in wanted or admitted[port] != wanted[port]:
            yield f"{port} is admitted from {admitted.get(port, 'nowhere')}, and not from {wanted.get(port, 'nowhere')}"


def references_lead_somewhere(installation) -> Iterator[str]:
    """What an object names is there; secrets are made by those who have them."""
    names = {(one["kind"], one["metadata"]["name"]) for one in installation.objects}
    pod = installation.pod
    wanted = [("ServiceAccount", pod["serviceAccountName"])]
    wanted += [("ConfigMap", one["configMapRef"]["name"]) for one in installation.server["envFrom"]]
    wanted += [("ConfigMap", one["configMap"]["name"]) for one in pod["volumes"] if "configMap" in one]
    wanted += [("Deployment", one["spec"]["scaleTargetRef"]["name"]) for one in installation.all("ScaledObject")]
    yield from (f"no {kind} {name}" for kind, name in wanted if (kind, name) not in names)
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in installation.containers:
        for mount in container["volumeMounts"]:
            if mount["name"] not in volumes:
                yield f"{container['name']}: no volume {mount['name']}"
    spaces = {one["metadata"].get("namespace") for one in installation.objects if one["kind"] != "Namespace"}
    if spaces != {installation.one("Namespace")["metadata"]["name"]}:
        yield f"objects are in {spaces}"


def the_bundle_is_where_the_server_looks(installation) -> Iterator[str]:
    """The server's bundles are on its volume of models, which it cannot write."""
    [mount] = [one for one in installation.server["volumeMounts"] if one["name"] == "models"]
    if not mount.get("readOnly"):
        yield "the server may change its models"
    for bundle in options_of(installation).bundles:
        if not bundle.startswith(f"{mount['mountPath']}/"):
            yield f"{bundle} is not below {mount['mountPath']}"
    for copier in (one for one in installation.containers if one["name"] == "model"):
        source, target = copier["command"][-2:]
        if options_of(installation).bundles != (f"{target}{source.rpartition('/')[2]}",):
            yield f"{copier['command']} does not copy to {options_of(installation).bundles}"


def pods_are_restricted(installation) -> Iterator[str]:
    """What the Pod Security Standard `restricted` asks for, and a root file system that nobody writes."""
    context = installation.pod["securityContext"]
    if not context.get("runAsNonRoot") or context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"pod: {context}"
    if installation.pod.get("automountServiceAccountToken") is not False:
        yield "the pod gets a token that it does not need"
    wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    for container in installation.containers:
        if container.get("securityContext") != wanted:
            yield f"{container['name']}: {container.get('securityContext')}"
        resources = container["resources"]
        if resources["requests"]["memory"] != resources["limits"]["memory"]:
            yield f"{container['name']} may use memory that it has not reserved"


def images_are_of_a_version(installation) -> Iterator[str]:
    """No image changes behind a manifest's back."""
    images = [container["image"] for container in installation.containers]
    images += [volume["image"]["reference"] for volume in installation.pod["volumes"] if "image" in volume]
    for image in images:
        name, _, tag = image.rpartition("/")[2].partition(":")
        if not tag or tag == "latest":
            yield f"{name}: {image} has no fixed version"


def objects_can_be_applied(installation) -> Iterator[str]:
    """`kubectl apply` keeps an object's text in an annotation, and annotations have a limit."""
    for one in installation.objects:
        size = len(json.dumps(one))
        if size > MAX_ANNOTATIONS_BYTES:
            yield f"{one['kind']} {one['metadata']['name']} has {size} bytes"


def one_owner_counts_the_replicas(installation) -> Iterator[str]:
    """With an autoscaler the Deployment states no number, which would undo the autoscaler's at every apply."""
    is_scaled = any(installation.all("ScaledObject", "HorizontalPodAutoscaler"))
    if is_scaled == ("replicas" in installation.one("Deployment")["spec"]):
        yield "replicas are counted by two, or by nobody"


def a_gpu_is_asked_for_in_full(installation) -> Iterator[str]:
    """Whole GPUs, a server that uses them, a toleration for their nodes, and no rollout that needs one more than there
    are."""
    count = installation.server["resources"]["limits"].get("nvidia.com/gpu")
    tolerated = {one["key"] for one in installation.pod.get("tolerations", ())}
    rolling = installation.one("Deployment")["spec"]["strategy"]["rollingUpdate"]
    provider = installation.one("ConfigMap", "dragoman")["data"].get("DRAGOMAN_PROVIDER", "cpu")
    if (provider == "cuda") != (count is not None):
        yield f"the server runs on {provider}, with {count or 'no'} GPUs"
    if count is None:
        if tolerated:
            yield "tolerates nodes with GPUs and asks for none"
        return
    if type(count) is not int:
        yield f"{count!r} GPUs"
    if "nvidia.com/gpu" not in tolerated or rolling["maxSurge"] != 0:
        yield "cannot be placed on the nodes that there are"


RULES: list[Rule] = [
    selectors_match_the_pods,
    ports_are_those_of_containers,
    the_server_listens_where_its_ports_say,
    certificates_lie_where_the_server_looks,
    a_pod_has_time_to_drain,
    liveness_is_not_readiness,
    the_network_policy_admits,
    references_lead_somewhere,
    the_bundle_is_where_the_server_looks,
    pods_are_restricted,
    images_are_of_a_version,
    objects_can_be_applied,
    one_owner_counts_the_replicas,
    a_gpu_is_asked_for_in_full,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_installation_keeps_every_rule(installation, rule):
    """The overlays, and every component on its own."""
    assert list(rule(installation)) == []


TLS, SCALED, ALL = "base with tls", "base with autoscaling", "base with everything"
DEV, CPU, GPU = "overlay dev", "overlay cpu", "overlay gpu"
POD = "spec.template.spec"

TWINS: list[tuple[Rule, str, str, str, Any]] = [
    # rule, installation, object, path in it (`!` ends one that is taken away), value
    (selectors_match_the_pods, DEV, "Service", "spec.selector", {"app.kubernetes.io/name": "dragomon"}),
    (selectors_match_the_pods, DEV, "PodDisruptionBudget", "spec.selector!", None),
    (selectors_match_the_pods, DEV, "NetworkPolicy", "spec.podSelector", {}),
    (selectors_match_the_pods, CPU, "PodMonitor", "spec.selector.matchLabels", {"app": "dragoman"}),
    (ports_are_those_of_containers, DEV, "Service", "spec.ports.0.targetPort", 50052),
    (ports_are_those_of_containers, DEV, "Service/dragoman-headless", "spec.ports.0.port", 80),
    (ports_are_those_of_containers, CPU, "PodMonitor", "spec.podMetricsEndpoints.0.port", "grpc"),
    (ports_are_those_of_containers, ALL, "GRPCRoute", "spec.rules.0.backendRefs.0.port", 50052),
    (ports_are_those_of_containers, ALL, "GRPCRoute", "spec.rules.0.backendRefs.0.name", "dragomans"),
    (the_server_listens_where_its_ports_say, DEV, "ConfigMap", "data.DRAGOMAN_LISTEN", "127.0.0.1:50051"),
    (the_server_listens_where_its_ports_say, DEV, "ConfigMap", "data.DRAGOMAN_LISTEN", "0.0.0.0:50052"),
    (the_server_listens_where_its_ports_say, DEV, "ConfigMap", "data.DRAGOMAN_METRICS_LISTEN!", None),
    (the_server_listens_where_its_ports_say, DEV, "ConfigMap", "data.DRAGOMAN_LANE", "2"),
    (the_server_listens_where_its_ports_say, DEV, "ConfigMap", "data.DRAGOMAN_LOG_LEVEL", "verbose"),
    (certificates_lie_where_the_server_looks, TLS, "ConfigMap", "data.DRAGOMAN_TLS_KEY", "/tls/key.pem"),
    (certificates_lie_where_the_server_looks, TLS, "ConfigMap", "data.DRAGOMAN_PLAINTEXT", "any"),
    (certificates_lie_where_the_server_looks, TLS, "Deployment", f"{POD}.containers.0.volumeMounts.0.mountPath", "/x"),
    (a_pod_has_time_to_drain, DEV, "Deployment", f"{POD}.terminationGracePeriodSeconds", 30),
    (a_pod_has_time_to_drain, DEV, "ConfigMap", "data.DRAGOMAN_DRAIN_GRACE_S", "60"),
    (liveness_is_not_readiness, TLS, "Deployment", f"{POD}.containers.0.livenessProbe.httpGet.path", "/healthz"),
    (liveness_is_not_readiness, DEV, "Deployment", f"{POD}.containers.0.startupProbe.httpGet.path", "/livez"),
    (the_network_policy_admits, DEV, "NetworkPolicy", "spec.ingress.0.ports.0.port", 50052),
    (the_network_policy_admits, DEV, "NetworkPolicy", "spec.ingress.1.ports.0.port", 9090),
    (the_network_policy_admits, DEV, "NetworkPolicy", "spec.ingress.0.from", FROM_MONITORING),
    (the_network_policy_admits, DEV, "NetworkPolicy", "spec.ingress.0.from!", None),
    (the_network_policy_admits, DEV, "NetworkPolicy", "spec.ingress.2.from", FROM_MONITORING),
    (the_network_policy_admits, DEV, "NetworkPolicy", "spec.ingress.2.ports.0.port", 50052),
    (references_lead_somewhere, DEV, "Deployment", f"{POD}.containers.0.envFrom.0.configMapRef.name", "dragoman"),
    (references_lead_somewhere, DEV, "Deployment", f"{POD}.containers.0.volumeMounts.0.name", "model"),
    (references_lead_somewhere, DEV, "Deployment", f"{POD}.serviceAccountName", "default"),
    (references_lead_somewhere, SCALED, "ScaledObject", "spec.scaleTargetRef.name", "server"),
    (references_lead_somewhere, SCALED, "ScaledObject", "metadata.namespace", "default"),
    (the_bundle_is_where_the_server_looks, DEV, "ConfigMap", "data.DRAGOMAN_BUNDLES", "/models/en-pt"),
    (the_bundle_is_where_the_server_looks, DEV, "ConfigMap", "data.DRAGOMAN_BUNDLES", "/bundle"),
    (the_bundle_is_where_the_server_looks, DEV, "Deployment", f"{POD}.containers.0.volumeMounts.0.readOnly!", None),
    (pods_are_restricted, DEV, "Deployment", f"{POD}.securityContext.runAsNonRoot", False),
    (pods_are_restricted, DEV, "Deployment", f"{POD}.automountServiceAccountToken!", None),
    (pods_are_restricted, DEV, "Deployment", f"{POD}.initContainers.0.securityContext!", None),
    (pods_are_restricted, TLS, "Deployment", f"{POD}.containers.0.securityContext.capabilities.drop", []),
    (pods_are_restricted, DEV, "Deployment", f"{POD}.containers.0.resources.limits.memory", "2Gi"),
    (images_are_of_a_version, DEV, "Deployment", f"{POD}.containers.0.image", "registry:5000/dragoman"),
    (images_are_of_a_version, DEV, "Deployment", f"{POD}.initContainers.0.image", "dragoman-model:latest"),
    (objects_can_be_applied, DEV, "ConfigMap", "data.dashboard", "x" * 262_144),
    (one_owner_counts_the_replicas, SCALED, "Deployment", "spec.replicas", 2),
    (one_owner_counts_the_replicas, DEV, "Deployment", "spec.replicas!", None),
    (a_gpu_is_asked_for_in_full, GPU, "Deployment", f"{POD}.containers.0.resources.limits.nvidia%gpu", "one"),
    (a_gpu_is_asked_for_in_full, GPU, "Deployment", f"{POD}.tolerations!", None),
    (a_gpu_is_asked_for_in_full, GPU, "ConfigMap", "data.DRAGOMAN_PROVIDER", "cpu"),
    (a_gpu_is_asked_for_in_full, CPU, "ConfigMap", "data.DRAGOMAN_PROVIDER", "cuda"),
    (a_gpu_is_asked_for_in_full, GPU, "Deployment", "spec.strategy.rollingUpdate.maxSurge", 1),
]  # fmt: skip


def change(document: Any, path: str, value: Any) -> None:
    """Set what is at a path, or take it away."""
    *way, last = (key.replace("%", ".com/") for key in path.removesuffix("!").split("."))
    for key in way:
        document = document[int(key)] if isinstance(document, list) else document[key]
    if path.endswith("!"):
        del document[last]
    else:
        document[last] = value


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: f"{twin[0].__name__}: {twin[2]} {twin[3]}={twin[4]}"[:110])
def test_a_broken_twin_is_found(install, twin):
    """The same installation with one mistake breaks the rule."""
    rule, name, which, path, value = twin
    installation = install(name)
    kind, _, named = which.partition("/")
    change(installation.one(kind, named or "dragoman"), path, value)

    assert list(rule(installation))


def test_every_rule_has_a_twin():
    """No rule is unproven."""
    assert {rule.__name__ for rule in RULES} == {twin[0].__name__ for twin in TWINS}
