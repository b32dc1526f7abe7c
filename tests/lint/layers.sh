#!/bin/sh
# Check that every #include points where tests/lint/layers.txt allows: layers.sh FILE...
exec awk '
function folder_of(path) { sub(/\/[^\/]*$/, "", path); return path }
function starts(list, header,    n, i, prefix) {
    n = split(list, prefix, " ")
    for (i = 1; i <= n; i++)
        if (index("<" header, prefix[i]) == 1)
            return 1
    return 0
}
function say(text) { print FILENAME ":" FNR ": " text; bad = 1 }

NR == FNR {
    if (/^#/ || !NF)
        next
    key = $1
    sub(/:$/, "", key)
    for (i = 2; i <= NF; i++) {
        word = $i
        if (key == "pure") is_pure[word] = 1
        else if (key == "except") is_except[word] = 1
        else if (key == "unpure") unpure = unpure " " word
        else if (key == "home") home = home " " word
        else if (word ~ /^</) { sub(/>$/, "", word); library[key] = library[key] " " word }
        else may[key, word] = 1
    }
    known[key] = 1
    next
}
FNR == 1 {
    from = folder_of(FILENAME)
    if (!(from in known)) {
        say("folder " from " has no row in tests/lint/layers.txt")
        nextfile
    }
}
/^#[ \t]*include[ \t]*"/ {
    split($0, part, "\"")
    if (part[2] !~ /\//) { say("\"" part[2] "\": name the folder too"); next }
    to = folder_of(part[2])
    if (to != from && !((from, to) in may) && !((from, part[2]) in may) && !((FILENAME, to) in may))
        say(from " must not include from " to)
}
/^#[ \t]*include[ \t]*</ {
    header = $0
    sub(/^[^<]*</, "", header)
    sub(/>.*/, "", header)
    if (FILENAME in is_except)
        next
    if (starts(home, header) && !starts(library[from] library[FILENAME], header))
        say(from " must not include <" header ">")
    if ((from in is_pure) && starts(unpure, header))
        say(from " is pure and must not include <" header ">")
}
END { exit bad }' tests/lint/layers.txt "$@"
