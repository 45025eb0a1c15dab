#!/bin/sh
# What `choir work digest --exec` runs: the digest of the document named on
# stdin becomes the key digest/DOCUMENT, under the lease of the task in hand.
IFS= read -r doc || [ -n "$doc" ] || exit 1
digest=$(printf '%s\n' "$doc" | "$(dirname "$0")/digest.sh" && echo .) || exit 1
printf '%s' "${digest%.}" | choir put "digest/$doc" - >/dev/null || exit 1
echo "digest/$doc"
