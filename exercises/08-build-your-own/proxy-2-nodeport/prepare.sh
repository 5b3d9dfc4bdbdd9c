#!/bin/sh
# kube-proxy was removed long ago; rules written by hand did all that it does.
set -e
sh -eu "$here/break.sh"
sh -eu "$here/solve/iptables.sh"
