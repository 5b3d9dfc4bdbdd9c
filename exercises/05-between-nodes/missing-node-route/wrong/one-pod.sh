#!/bin/sh
# A route to the one endpoint that was silent.
case $other in
node-1) pod=$web_1_ip ;;
*) pod=$web_2_ip ;;
esac
ip -n "$node" route add "$pod" via "$other_ip"
