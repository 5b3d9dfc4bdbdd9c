#!/bin/sh
# Answer by the way that the client comes.
ip -n "$node" route add "$client_ip/32" via 172.31.0.2
