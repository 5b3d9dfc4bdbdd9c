#!/bin/sh
# More ports for sockets.
for one in "$node" "$asker"; do
    ip netns exec "$one" sysctl -qw net.ipv4.ip_local_port_range="1024 65535"
done
