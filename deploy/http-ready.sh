#!/bin/bash
# Whether a convene-server, or a proxy before some, is ready: http-ready HOST PORT. For images that have no curl.
set -eu
exec 3<>"/dev/tcp/$1/$2"
printf 'GET /readyz HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n' "$1" "$2" >&3
read -r -t 4 _ status _ <&3
[ "$status" = 200 ] || { echo "/readyz says $status"; exit 1; }
