#!/bin/sh
# Run a pod of the shop on the node that the load balancer knows.
hairpin lab.apply /dev/stdin > /dev/null <<END
apiVersion: v1
kind: Pod
metadata: {name: front, labels: {app: web}}
spec:
  nodeName: $node
  containers:
  - name: server
    ports: [{name: http, containerPort: 8080}]
END
