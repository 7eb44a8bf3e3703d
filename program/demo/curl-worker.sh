#!/bin/sh
# demo/curl-worker.sh QUEUE COMMAND
#	A worker with nothing but curl: takes one message after the other, gives its payload to
#	COMMAND on standard input, and completes it with what that wrote, which must be JSON.  A
#	command that fails fails the message.  Runs until it is stopped.
#
#	BATON_URL		the HTTP server (http://localhost:7654)
#	BATON_TOKEN		a token with the scope receive; none where none is needed

set -eu

queue=$1
command=$2
url=${BATON_URL:-http://localhost:7654}

# call PATH [CURL-OPTION...]: prints the answer; fails if that is an error.
call() {
	path=$1
	shift
	curl --silent --fail --max-time 90 ${BATON_TOKEN:+-H "Authorization: Bearer $BATON_TOKEN"} \
		-X POST "$@" "$url/v1/$path"
}

while true; do
	# A message is one line; its fields come in this order, with no blank between them.
	answer=$(call "queues/$queue/receive?wait=30") || {
		sleep 1
		continue
	}
	receipt=$(printf '%s\n' "$answer" | sed -n 's/^{"receipt":"\([^"]*\)".*/\1/p')
	[ -n "$receipt" ] || continue
	payload=$(printf '%s\n' "$answer" | sed -n 's/.*,"payload":\(.*\),"headers":.*/\1/p')
	if result=$(printf '%s\n' "$payload" | sh -c "$command"); then
		call "claims/$receipt/complete" --json "{\"result\": ${result:-null}}" || true
	else
		call "claims/$receipt/fail" --json '{"error": "the command failed"}' || true
	fi
done
