#!/bin/sh
# The include rules of docs/architecture.md, over every #include line of the tree:
#  - quoted includes are written from the top of the tree and exist
#  - protocol/ includes itself and libc (and libfcgi's <fastcgi.h>, constants only)
#  - gateway/ and adapters/ include protocol/ and themselves, never each other; of gateway/, the
#    arbiter's folder and the front's folder do not include each other either
#  - adapters/python/ includes <penstock/plugin.h>, <Python.h> and itself only
#  - <event2/...> is for gateway/, and not for what its libraries without I/O are made of; in
#    adapters/ for one file
set -eu
cd "${srcdir:-.}"

# The sources that the variable NAME of the local.mk of FOLDER lists.
sources_of() {
	awk -v name="$2" -v folder="$1" '
		index($0, name) { on = 1 }
		on {
			line = $0
			gsub(/%D%/, folder, line)
			n = split(line, words, /[ \t\\]+/)
			for (i = 1; i <= n; i++)
				if (words[i] ~ /\.[ch]$/)
					print words[i]
		}
		!/\\$/ { on = 0 }' "$1/local.mk"
}

without_io=$(sources_of gateway/front libpst_front_la_SOURCES | tr '\n' ' ')
[ -n "$without_io" ] || { echo 'includes: gateway/front/local.mk lists no sources' >&2; exit 1; }

find protocol gateway adapters tests \( -name '*.c' -o -name '*.h' \) -print | sort |
	xargs grep -n '^[[:space:]]*#[[:space:]]*include' /dev/null |
	awk -v without_io=" $without_io " '
	function bad(why) {
		printf "%s:%s: %s: %s\n", file, line, what, why
		errors++
	}
	function under(path, folder) {
		return index(path, folder "/") == 1
	}
	{
		split($0, part, ":")
		file = part[1]
		line = part[2]
		what = $0
		sub(/^[^:]*:[^:]*:[[:space:]]*#[[:space:]]*include[[:space:]]*/, "", what)
		total++
		quoted = what ~ /^"/
		path = substr(what, 2)
		sub(/[">].*$/, "", path)

		if (quoted && (getline unused < path) < 0)
			bad("not a file, seen from the top of the tree")
		close(path)
		if (quoted && path == "config.h")
			bad("config.h comes from the command line")
		if (!quoted && path ~ /^(protocol|gateway|adapters)\//)
			bad("our own headers are quoted")

		if (under(path, "event2") && !(under(file, "gateway") && !index(without_io, " " file " ")) &&
		    file != "adapters/loop_event.c")
			bad("libevent is for the parts of gateway/ that do I/O, and adapters/loop_event.c")
		if (path == "Python.h" && !under(file, "adapters/python"))
			bad("CPython is for adapters/python/")
		if (path == "fastcgi.h" && !under(file, "protocol") && !under(file, "tests"))
			bad("FastCGI is for protocol/")
		if (under(path, "penstock") && !under(file, "adapters") && !under(file, "tests"))
			bad("the plugin ABI is for adapters/")

		if (!quoted || under(file, "tests"))
			next
		if (under(path, "tests"))
			bad("tests/ is not for programs")
		if (under(file, "protocol") && !under(path, "protocol"))
			bad("protocol/ includes itself only")
		if (under(file, "gateway") && under(path, "adapters"))
			bad("gateway/ and adapters/ are strangers")
		if (under(file, "adapters") && under(path, "gateway"))
			bad("gateway/ and adapters/ are strangers")
		if (under(file, "gateway/arbiter") && under(path, "gateway/front"))
			bad("arbiter and gateway are two processes")
		if (under(file, "gateway/front") && under(path, "gateway/arbiter"))
			bad("arbiter and gateway are two processes")
		if (under(file, "adapters/python") && !under(path, "adapters/python"))
			bad("a plugin sees <penstock/plugin.h> only")
		if (!under(file, "adapters/python") && under(path, "adapters/python"))
			bad("a plugin is loaded, not included")
	}
	END {
		printf "%d #include lines\n", total
		exit errors > 0 || total == 0
	}'
