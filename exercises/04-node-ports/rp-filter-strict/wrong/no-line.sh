#!/bin/sh
# Do without the line: nobody has another way for the office.
ip -n "$node" link del lan1
