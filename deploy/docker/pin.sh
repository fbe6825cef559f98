#!/bin/sh
# Writes deploy/images.env: every image of others that compose.yaml names, with the digest that its registry says today. Needs docker
# with buildx and the registries; a build needs neither. One that cannot be asked leaves the file as it was.
set -eu
cd "$(dirname "$0")/.."
made=$(mktemp ./images.env.XXXXXX)
trap 'rm -f "$made"' EXIT
echo "# Made by deploy/docker/pin.sh. Read by docker compose --env-file deploy/.env --env-file deploy/images.env" > "$made"
sed -n 's/.*${\([A-Z_]*_IMAGE\):-\([^}]*\)}.*/\1 \2/p' compose.yaml | sort -u | while read -r name image; do
  digest=$(docker buildx imagetools inspect "$image" | awk '/^Digest:/ { print $2; exit }')
  case $digest in
    sha256:*) echo "$name=$image@$digest" >> "$made" ;;
    *) echo "pin.sh: no digest of $image" >&2; exit 1 ;;
  esac
done
chmod 644 "$made"
mv "$made" images.env
