#!/bin/sh
# Makes ./configure from configure.ac; needed once after a clone.
set -eu
cd "$(dirname "$0")"
for tool in autoreconf automake libtoolize; do
	command -v "$tool" >/dev/null || {
		echo "autogen.sh: $tool is missing: apt install autoconf automake libtool" >&2
		exit 1
	}
done
exec autoreconf --install --force "$@"
