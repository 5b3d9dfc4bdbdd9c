"""kube-proxy's decisions without kube-proxy: Services, EndpointSlices and a configuration in, a ruleset out.

`services` reads the objects, `endpoints` chooses among endpoints, `config` applies the defaults of a node,
`iptables` and `nftables` write the rules, and `node` puts them together. Everything here is pure. What is rebuilt is
kube-proxy v1.36; the docstrings name the upstream files (of kubernetes/kubernetes) that decide.
"""
