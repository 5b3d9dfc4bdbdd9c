#!/bin/sh
# Lead the client that complained, and no other, to a node that has pods.
ip -n router rule add from "$client_ip" to 203.0.113.10 lookup 99
ip -n router route add 203.0.113.10/32 via "$other_ip" table 99
