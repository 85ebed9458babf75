#!/bin/sh
# Runs `convene join` and starts etcd with the variables that it prints, on the first start and on every later one. Both programs
# read CONVENE_DISCOVERY, ETCD_NAME, ETCD_DATA_DIR, ETCD_INITIAL_ADVERTISE_PEER_URLS and ETCD_ADVERTISE_CLIENT_URLS. Arguments go to etcd.
set -eu
# Two lines, because `eval "$(convene join)"` would continue after a failure.
variables=$(convene join --output env)
eval "$variables"
exec etcd "$@"
