#!/bin/sh
# tools/check-layers.sh
#	Includes only go down.

. "$(dirname "$0")/lib.sh"
cd "$repo"

# shellcheck disable=SC2016
find extension/src program bench -name '*.[ch]' 2>/dev/null | sort | xargs awk '
	BEGIN {
		# Who may include whom, besides itself.
		may["extension/core"] = ""
		may["extension/log"] = "core"
		may["extension/memory"] = "core"
		may["extension/queue"] = "core log memory"
		may["extension/api"] = "core log memory queue"
		may["extension/worker"] = "core log memory queue"
		may["extension/."] = "core log memory queue api worker"
		may["program/base"] = ""
		may["program/pg"] = "base"
		may["program/cluster"] = "base pg"
		may["program/work"] = "base pg"
		may["program/metrics"] = "base pg"
		may["program/http"] = "base pg metrics"
		may["program/commands"] = "base pg cluster work metrics http"
		may["program/."] = "base pg cluster work metrics http commands"
		may["bench/harness"] = ""
		may["bench/."] = "harness"
		split("core log memory queue api worker", list)
		for (i in list) ours["extension/" list[i]] = 1
		split("base pg cluster work metrics http commands", list)
		for (i in list) ours["program/" list[i]] = 1
	}
	FNR == 1 {
		n = split(FILENAME, part, "/")
		tree = part[1]
		at = tree == "extension" ? 3 : 2
		folder = n > at ? part[at] : "."
		if (folder == "test") nextfile
		layer = tree "/" folder
		if (!(layer in may)) {
			print FILENAME ": the folder " folder " has no place among the layers"
			bad = 1
			nextfile
		}
	}
	/^[ \t]*#[ \t]*include[ \t]*"/ {
		split($0, quoted, "\"")
		slash = index(quoted[2], "/")
		target = slash ? substr(quoted[2], 1, slash - 1) : ""
		where = FILENAME ":" FNR ": "
		if (quoted[2] ~ /\.\./ || target ~ /^(extension|program|bench)$/) {
			print where "include from the root of the tree, not " quoted[2]
			bad = 1
		} else if (layer == "extension/core" && target != "core") {
			print where "core/ includes only core/ and the C library, not " quoted[2]
			bad = 1
		} else if (target != folder && (tree "/" target) in ours &&
				   index(" " may[layer] " ", " " target " ") == 0) {
			print where folder "/ must not include " target "/"
			bad = 1
		}
	}
	END { exit bad }
'
