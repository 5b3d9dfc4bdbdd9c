#!/bin/sh
# Two gateways outside, each with one connection to a node's port, which it keeps.
begin() {
    ip netns exec "$1" setsid python3 "$here/../relay.py" 8000 "$2:30080" fail > /dev/null 2>&1 &
    until ip netns exec "$1" curl -s -o /dev/null "http://127.0.0.1:8000/"; do sleep 0.05; done
}
begin office "$node_ip"
begin branch "$calm_ip"
