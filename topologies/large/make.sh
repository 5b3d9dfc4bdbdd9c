#!/bin/sh
# Print lab.yaml: sh topologies/large/make.sh >topologies/large/lab.yaml
services=500
nodes=20
cat <<EOF
# yaml-language-server: \$schema=../../lab/schema/hairpin.v1alpha1.json
# Size: 1000 pods on $nodes nodes behind $services Services, built, checked and gone in seconds.
# Made by make.sh, which lies beside this file; below the expectations each line is a Deployment or its Service.
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: large}
spec:
  nodes: [$(seq -f node-%g -s ', ' $nodes)]
  clients: [{name: client}]
  expect:
  - it: the first pod reaches the last Service, and keeps its address
    from: web-001-1
    to: svc/web-500
    answer: {by: [web-500-1, web-500-2], source: web-001-1}
    flow: {node: node-1, dnat: true, snat: false}
  - it: of thousands of rules just those count that are about the request
    from: web-001-1
    to: svc/web-123
    answer: {by: [web-123-1, web-123-2]}
    rules:
      node: node-1
      hit:
      - KUBE-SERVICES > KUBE-SVC-5AFL5KDZMWNUTWY5
      - KUBE-SVC-5AFL5KDZMWNUTWY5 > KUBE-SEP
      - KUBE-SEP > DNAT
      - KUBE-FORWARD > ACCEPT
      - KUBE-POSTROUTING > RETURN
      - services > service-VY3SMEL5-default/web-123/tcp/   # in nftables mode
      - service > dnat
  - it: all nodes have the same rules, and a client may ask any
    from: client
    to: node-13:30080
    answer: {by: [web-500-1, web-500-2]}
    flow: {node: node-13, dnat: true, snat: true}
---
apiVersion: v1
kind: List
items:
EOF
for number in $(seq -w $services); do
    web="web-$number"
    ports='[{port: 80, targetPort: 8080}]'
    [ "$number" = "$services" ] && ports='[{port: 80, targetPort: 8080, nodePort: 30080}], type: NodePort'
    echo "- {apiVersion: apps/v1, kind: Deployment, metadata: {name: $web}, spec: {replicas: 2, selector: {matchLabels: {app: $web}}, template: {metadata: {labels: {app: $web}}, spec: {containers: [{ports: [{containerPort: 8080}]}]}}}}"
    echo "- {apiVersion: v1, kind: Service, metadata: {name: $web}, spec: {selector: {app: $web}, ports: $ports}}"
done
