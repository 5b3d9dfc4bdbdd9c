#!/bin/sh
# Send to the node that has pods, as a load balancer would that asks for health.
ip -n router route replace 203.0.113.10/32 via "$other_ip"
