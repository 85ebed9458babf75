#!/bin/sh
# Starts an etcd as `convene join` says, for the first time and every time. Both are told by variables who they are:
# CONVENE_DISCOVERY, ETCD_NAME, ETCD_DATA_DIR, ETCD_INITIAL_ADVERTISE_PEER_URLS, ETCD_ADVERTISE_CLIENT_URLS. Arguments go to etcd.
set -eu
# On a line of its own: `eval "$(convene join)"` would go on after a failure.
variables=$(convene join --output env)
eval "$variables"
exec etcd "$@"
