#!/bin/bash
# Asks a Convene server, the proxy in front of several, or an agent whether it is ready: http-ready HOST PORT. The images have no curl. A server with a
# set-up of its own (CONVENE_SETUP) speaks TLS; then `convene` asks it.
set -eu
if [ -n "${CONVENE_SETUP-}" ]; then
    code=0
    convene cluster list --server "https://$1:$2" --discovery-cacert "$CONVENE_SETUP/ca.crt" --admin-token-file "$CONVENE_SETUP/admin-token" \
        --output json >/dev/null || code=$?
    # 3: the server answers, and refuses an administrator's token that was revoked.
    [ "$code" = 0 ] || [ "$code" = 3 ]
    exit
fi
exec 3<>"/dev/tcp/$1/$2"
printf 'GET /readyz HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n' "$1" "$2" >&3
read -r -t 4 _ status _ <&3
[ "$status" = 200 ] || { echo "/readyz returned $status"; exit 1; }
