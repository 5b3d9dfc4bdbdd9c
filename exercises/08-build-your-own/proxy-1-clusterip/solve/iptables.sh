#!/bin/sh
# Chains as kube-proxy has them, under names without its prefix: the Services, the choice, an endpoint each.
set -e
for node in node-1 node-2 node-3; do
    ip netns exec "$node" iptables-restore --noflush <<RULES
*nat
:SERVICES -
:SVC-web -
:SEP-web-1 -
:SEP-web-2 -
:SEP-web-3 -
-A PREROUTING -j SERVICES
-A OUTPUT -j SERVICES
-A SERVICES -d $svc_web_ip -p tcp --dport 80 -j SVC-web
-A SVC-web -m statistic --mode random --probability 0.33333333349 -j SEP-web-1
-A SVC-web -m statistic --mode random --probability 0.5 -j SEP-web-2
-A SVC-web -j SEP-web-3
-A SEP-web-1 -p tcp -j DNAT --to-destination $web_1_ip:$server_port
-A SEP-web-2 -p tcp -j DNAT --to-destination $web_2_ip:$server_port
-A SEP-web-3 -p tcp -j DNAT --to-destination $web_3_ip:$server_port
COMMIT
*filter
:SERVICES -
-A FORWARD -m conntrack --ctstate NEW -j SERVICES
-A OUTPUT -m conntrack --ctstate NEW -j SERVICES
-A SERVICES -d $svc_old_ip -p tcp --dport 80 -j REJECT
COMMIT
RULES
done
