#!/bin/bash
# Asks a Convene server, or the proxy in front of several, whether it is ready: http-ready HOST PORT. The images have no curl.
set -eu
exec 3<>"/dev/tcp/$1/$2"
printf 'GET /readyz HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n' "$1" "$2" >&3
read -r -t 4 _ status _ <&3
[ "$status" = 200 ] || { echo "/readyz returned $status"; exit 1; }
