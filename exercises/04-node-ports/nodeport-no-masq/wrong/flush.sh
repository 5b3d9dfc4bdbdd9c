#!/bin/sh
# Flush the chain: kube-proxy writes its own rules again, and nobody the others.
ip netns exec "$node" iptables -t nat -F POSTROUTING
