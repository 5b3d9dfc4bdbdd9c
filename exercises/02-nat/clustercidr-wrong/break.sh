#!/bin/sh
# The cluster was built anew with another pod range, and kube-proxy's configuration was copied from the old one.
hairpin lab.apply /dev/stdin > /dev/null <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clusterCIDR: $old
END
