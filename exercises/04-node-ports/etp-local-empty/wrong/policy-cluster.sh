#!/bin/sh
# Give up the policy, and with it the customers' addresses.
hairpin lab.apply /dev/stdin > /dev/null <<END
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Cluster
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30080}]
status:
  loadBalancer:
    ingress: [{ip: 203.0.113.10}]
END
