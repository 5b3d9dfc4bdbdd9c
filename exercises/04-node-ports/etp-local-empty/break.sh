#!/bin/sh
# The load balancer was pointed at the new node.
ip -n router route replace 203.0.113.10/32 via "$node_ip"
