#!/bin/sh
# Change an object, which kube-proxy writes its rules for.
hairpin lab.condition web-1 unready > /dev/null
hairpin lab.condition web-1 ready > /dev/null
