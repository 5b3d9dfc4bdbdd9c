#!/bin/sh
# One pod more, where there is one.
hairpin lab.apply /dev/stdin > /dev/null <<END
apiVersion: v1
kind: Pod
metadata: {name: web-3, labels: {app: web}}
spec:
  nodeName: $other
  containers:
  - name: server
    ports: [{name: http, containerPort: 8080}]
END
