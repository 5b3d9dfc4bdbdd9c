"""Folders of exercises, written for a test: a small one that is true, and what a test changes of it."""

from __future__ import annotations

from pathlib import Path

LAB = """apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: small}
spec:
  nodes: [node-1]
  network: {podCIDR: "${pod_cidr}", serviceCIDR: "${service_cidr}"}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, labels: {app: web}}
spec: {containers: [{name: server, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client-a}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
"""

SPEC = """apiVersion: hairpin/v1alpha1
kind: Exercise
metadata: {name: NAME}
spec:
  title: A pod does not reach itself
  difficulty: 3
  minutes: 10
  may: node-1
  success: web-1 reaches svc/web
  vary: {asker: [client-a]}
  red: [hairpin]
"""

BRIDGE = 'ip netns exec node-1 bridge link set dev "$web_1_veth" hairpin'

FILES = {
    "exercise.yaml": SPEC,
    "lab.yaml": LAB,
    "ticket.md": "web-1 (${web_1_ip}) asks ${svc_web_ip}:\n\n    $ curl -m 3 ${svc_web_ip}\n    curl: (28) timed out\n",
    "hints.md": "".join(f"## {number}\n\nhint {number} of ${{asker}}\n\n" for number in range(1, 5)),
    "solution.md": "hairpin on\n",
    "break.sh": f"#!/bin/sh\n# A new plugin.\n{BRIDGE} off\n",
    "solve/on.sh": f"#!/bin/sh\n# Hairpin on.\n{BRIDGE} on\n",
    "wrong/promisc.sh": "#!/bin/sh\n# A promiscuous bridge.\nip netns exec node-1 ip link set cbr0 promisc on\n",
}


def write(root: Path, name: str = "small", **changes: str | None) -> Path:
    """Write an exercise below `root` and return its folder.

    `changes`: another text for a file, None for none; of exercise.yaml (`spec`) lines to be added to it. A file's name
    has `__` for what no keyword may have: `solve__on` is solve/on.sh, `hints` is hints.md.
    """
    spec = changes.pop("spec", "") or ""
    files: dict[str, str | None] = {**FILES, "exercise.yaml": SPEC.replace("NAME", name) + spec}
    known = {file.partition(".")[0].replace("/", "__"): file for file in (*FILES, "prepare.sh")}
    for key, text in changes.items():
        files[known.get(key) or f"{key.replace('__', '/')}.sh"] = text
    folder = root / "01-chapter" / name
    for file, text in files.items():
        if text is not None:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
    return folder
