#!/bin/sh
# The gateway and the export, each with one connection to prices that it keeps; the export's pod takes no new ones.
begin() {
    pin="-s $2 -d $svc_prices_ip -p tcp --dport 80 -j DNAT --to-destination $3:8080"
    # shellcheck disable=SC2086 # several words
    ip netns exec "$node" iptables -t nat -I PREROUTING $pin
    ip netns exec "$1" setsid python3 "$here/../relay.py" 8000 "$svc_prices_ip:80" "$4" > /dev/null 2>&1 &
    until ip netns exec "$1" curl -s -o /dev/null "http://127.0.0.1:8000/"; do sleep 0.05; done
    # shellcheck disable=SC2086 # as above
    ip netns exec "$node" iptables -t nat -D PREROUTING $pin
}
begin gateway "$gateway_ip" "$live_ip" retry
begin export "$export_ip" "$draining_ip" never
hairpin lab.condition "$draining" unready > /dev/null
