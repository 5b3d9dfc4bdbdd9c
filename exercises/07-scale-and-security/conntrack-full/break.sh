#!/bin/sh
# A scanner in a pod opens connections and forgets them: as many entries as the table takes, each good for an hour.
most=$(cat /proc/sys/net/netfilter/nf_conntrack_max)
awk -v most="$most" -v from="$leaker_ip" -v port="$port" 'BEGIN {
    for (number = 0; number < most; number++)
        printf "-A -p tcp -s %s -d 203.0.%d.%d --sport %d --dport %d " \
            "--state ESTABLISHED -u ASSURED,SEEN_REPLY -t 3600\n",
            from, int(number / 50000 / 200) + 113, int(number / 50000) % 200 + 1, 1024 + number % 50000, port
}' > /run/entries
ip netns exec "$node" conntrack -R /run/entries > /dev/null 2>&1 || true    # the last ones find no room
rm /run/entries
held=$(ip netns exec "$node" conntrack -C)
[ "$held" -ge "$((most - 100))" ] || { echo "the table of $node holds only $held of $most entries" >&2; exit 1; }
