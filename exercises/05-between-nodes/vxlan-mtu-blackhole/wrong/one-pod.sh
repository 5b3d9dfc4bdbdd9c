#!/bin/sh
# Mend the pod that the ticket complains of.
ip -n "$far" link set eth0 mtu 1450
