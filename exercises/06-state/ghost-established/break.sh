#!/bin/sh
# Yesterday the gateway opened its connection to a pod; today that pod was taken out of the Service.
pin="-s $gateway_ip -d $svc_prices_ip -p tcp --dport 80 -j DNAT --to-destination $old_ip:8080"
# shellcheck disable=SC2086 # several words
ip netns exec "$node" iptables -t nat -I PREROUTING $pin
ip netns exec "$node" conntrack -D -p tcp --orig-src "$gateway_ip" --orig-dst "$svc_prices_ip" > /dev/null 2>&1
ip netns exec gateway curl -s -o /dev/null "http://127.0.0.1:8000/"
# shellcheck disable=SC2086 # as above
ip netns exec "$node" iptables -t nat -D PREROUTING $pin
hairpin lab.condition "$old" unready > /dev/null
