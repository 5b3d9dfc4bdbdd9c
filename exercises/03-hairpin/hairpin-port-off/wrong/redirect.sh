#!/bin/sh
# Let the pod answer itself, always: it does not reach the others by the Service any more.
ip netns exec "$pod" iptables -t nat -I OUTPUT -d "$svc_web_ip" -p tcp --dport 80 -j REDIRECT --to-ports 8080
