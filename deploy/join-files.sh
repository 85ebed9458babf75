#!/bin/sh
# Puts what nodes join with, and no other secret of the set-up in CONVENE_SETUP, into a folder for them: join-files FOLDER [NODE].
# Files that are there stay. With the name of a node that has lost its disk, the join token becomes a new one for that node.
set -eu
umask 077
to=$1
copy() {
    [ -e "$to/$1" ] || { cp "$CONVENE_SETUP/$1" "$to/.$1" && mv "$to/.$1" "$to/$1"; }
}
copy discovery
if [ $# -gt 1 ]; then
    # shellcheck source=/dev/null
    . "$CONVENE_SETUP/admin.env"
    rm -f "$to/.join-token"
    CONVENE_DISCOVERY_FILE=$to/discovery convene cluster join-token create --node "$2" --join-token-file "$to/.join-token"
    mv "$to/.join-token" "$to/join-token"
else
    copy join-token
fi
