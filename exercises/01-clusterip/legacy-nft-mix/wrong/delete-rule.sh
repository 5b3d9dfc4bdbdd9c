#!/bin/sh
# Delete the vendor's rule, and leave the policy.
ip netns exec "$node" iptables-legacy -F FORWARD
