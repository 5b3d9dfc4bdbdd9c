#!/bin/sh
# Give the dead collector's address to the new one, and keep the stale entry for ever.
ip -n "$now" address add "${now_ip%.*}.$dead/32" dev eth0
