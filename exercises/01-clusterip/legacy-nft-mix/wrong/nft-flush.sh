#!/bin/sh
# Flush what nft knows.
ip netns exec "$node" nft flush ruleset
