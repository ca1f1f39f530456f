#!/bin/sh
# Shows that the fault tests can fail: they must lose readings with services that acknowledge before they
# write. The services are built from a copy of the sources with ack-before-write.patch in it.
set -eu
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"
patch=$PWD/deploy/acceptance/faults/ack-before-write.patch
(cd "$copy" && git apply "$patch")

lost() { # FAULT: the row must fail, and for readings that are missing
	if output=$(go run ./deploy/acceptance/faults -source "$copy" -fault "^$1\$"); then
		echo "$output"
		echo "faults-red: $1 passes with services that acknowledge before they write" >&2
		exit 1
	fi
	echo "$output"
	echo "$output" | grep -q ' [1-9][0-9]* missing'
}
lost kill-mqtt-bridge-without-kafka
lost kill-ingest-writer-without-mongo
echo "faults-red: the rows fail, as they must"
