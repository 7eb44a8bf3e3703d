#!/bin/sh
# tools/check-callbacks.sh
#	What commit, abort and exit callbacks call must not fail: it is on a list.
#
#	tools/callbacks.txt has the files, the functions that the server calls, and what
#	these may call.  From there the calls are followed through functions of the same
#	files; a call that leads out of them has to be on the list.

. "$(dirname "$0")/lib.sh"
cd "$repo"

files=$(sed -n 's/^file *//p' tools/callbacks.txt)
for file in $files; do
	[ -e "$file" ] || die "$file, named in tools/callbacks.txt, is not there"
done

# shellcheck disable=SC2086
awk '
	FILENAME == "tools/callbacks.txt" {
		if ($1 == "root") root[$2] = 1
		if ($1 == "may") for (i = 2; i <= NF && $i !~ /^#/; i++) may[$i] = 1
		next
	}
	# The style puts the name of a function that is defined at the start of a line.
	/^[a-zA-Z_][a-zA-Z_0-9]*\(/ { name = $0; sub(/\(.*/, "", name) }
	/^\{/ { inside = name; defined[name] = 1 }
	/^\}/ { inside = "" }
	inside != "" {
		line = $0
		gsub(/"([^"\\]|\\.)*"/, "", line)
		gsub(/\/\*[^*]*\*\//, "", line)
		if (comment) { if (!sub(/.*\*\//, "", line)) next; comment = 0 }
		if (sub(/\/\*.*/, "", line)) comment = 1
		while (match(line, /[a-zA-Z_][a-zA-Z_0-9]*[ ]?\(/)) {
			called = substr(line, RSTART, RLENGTH - 1)
			sub(/ $/, "", called)
			line = substr(line, RSTART + RLENGTH)
			if (called !~ /^(if|for|while|switch|return|sizeof|offsetof|void|int|uint32|uint64|int64|bool)$/)
				calls[inside] = calls[inside] " " called
		}
	}
	function walk(f, by,   list, i, n) {
		if (f in seen) return
		seen[f] = 1
		if (!(f in defined)) {
			if (!(f in may)) {
				print by " calls " f ", which is not on the list in tools/callbacks.txt"
				bad = 1
			}
			return
		}
		if (f in may) return
		n = split(calls[f], list, " ")
		for (i = 1; i <= n; i++) walk(list[i], f)
	}
	END {
		for (r in root) {
			if (!(r in defined)) { print "callback " r " is not defined"; bad = 1 }
			else walk(r, r)
		}
		exit bad
	}
' tools/callbacks.txt $files
