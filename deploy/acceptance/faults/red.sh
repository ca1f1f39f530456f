#!/bin/sh
# Shows that the fault tests can fail: they must lose readings with services that acknowledge before they
# write, and in a power cut with an all-in-one that syncs nothing. The services are built from a copy of the
# sources with ack-before-write.patch in it; for the power cut they are as they are, and strace takes the syncs away.
set -eu
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"
patch=$PWD/deploy/acceptance/faults/ack-before-write.patch
(cd "$copy" && git apply "$patch")

lost() { # FAULT, FLAG...: the row must fail, and for readings that are missing
	fault=$1
	shift
	if output=$(go run ./deploy/acceptance/faults -fault "^$fault\$" "$@"); then
		echo "$output"
		echo "faults-red: $fault passes with $*" >&2
		exit 1
	fi
	echo "$output"
	echo "$output" | grep -q ' [1-9][0-9]* missing'
}
lost kill-mqtt-bridge-without-kafka -source "$copy"
lost kill-ingest-writer-without-mongo -source "$copy"
lost power-cut -unsynced
lost seal-power-cut -unsynced
echo "faults-red: the rows fail, as they must"
