#!/bin/sh
# Name the pods' range.
hairpin lab.apply /dev/stdin > /dev/null <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clusterCIDR: $pod_cidr
END
