"""The Python client: watch, exec both ways, port-forward, the dynamic client, apply, pages."""

import time

from kubernetes import client, config, dynamic, watch
from kubernetes.stream import portforward, stream

NAMESPACE = "python"

config.load_kube_config()
core = client.CoreV1Api()


def until(what, look):
    """Looks until it finds something."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except client.ApiException:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not within a minute: {what}")


def pod_spec(image):
    container = {"name": "c", "image": image, "imagePullPolicy": "Never"}
    return {"terminationGracePeriodSeconds": 0, "containers": [container]}


def executes():
    def ask(*words, **options):
        options = {"stdin": False, "stdout": True, "stderr": True, "tty": False} | options
        return stream(core.connect_get_namespaced_pod_exec, "p", NAMESPACE, command=list(words), **options)

    assert ask("sh", "-c", "echo out") == "out\n"
    shell = ask("sh", stdin=True, _preload_content=False)
    shell.write_stdin("echo typed; exit 4\n")
    shell.run_forever(timeout=20)
    assert (shell.read_stdout(), shell.returncode) == ("typed\n", 4)


def forwards():
    forward = portforward(core.connect_get_namespaced_pod_portforward, "p", NAMESPACE, ports="80,81")
    socket = forward.socket(80)
    socket.setblocking(True)
    socket.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert socket.recv(15) == b"HTTP/1.1 200 OK"
    socket.close()
    assert "81" in until("port 81 is refused", lambda: forward.error(81))


def uses_dynamic_objects():
    deployments = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="apps/v1", kind="Deployment")
    labels = {"app": "d"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec("nginx:1.27")}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": NAMESPACE},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    deployments.create(body=body, namespace=NAMESPACE)
    events = deployments.watch(namespace=NAMESPACE, timeout=60)
    assert any(event["object"].status.get("readyReplicas") == 1 for event in events)
    applied = deployments.server_side_apply(body=body, namespace=NAMESPACE, field_manager="py", force_conflicts=True)
    assert any(entry.manager == "py" and entry.operation == "Apply" for entry in applied.metadata.managedFields)
    patch = {"spec": {"replicas": 2}}
    content = "application/merge-patch+json"
    assert deployments.patch(body=patch, name="d", namespace=NAMESPACE, content_type=content).spec.replicas == 2


core.create_namespace({"metadata": {"name": NAMESPACE}})
until("the default account", lambda: core.read_namespaced_service_account("default", NAMESPACE))
core.create_namespaced_pod(NAMESPACE, {"metadata": {"name": "p"}, "spec": pod_spec("nginx:1.27")})
watcher = watch.Watch()
for event in watcher.stream(core.list_namespaced_pod, NAMESPACE, timeout_seconds=60):
    if event["object"].status.phase == "Running":
        watcher.stop()
executes()
forwards()
uses_dynamic_objects()
page = core.list_namespaced_pod(NAMESPACE, limit=1)
assert len(page.items) == 1 and page.metadata._continue
core.delete_namespace(NAMESPACE)
until("the namespace goes", lambda: NAMESPACE not in [one.metadata.name for one in core.list_namespace().items])
