#!/bin/sh
# Make the bridge promiscuous.
ip -n "$node" link set cbr0 promisc on
