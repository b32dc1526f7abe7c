#!/bin/sh
# Check that the pure folders of tests/lint/layers.txt keep no variables between calls:
# globals.sh FILE...
exec awk '
NR == FNR {
    if ($1 == "pure:") for (i = 2; i <= NF; i++) is_pure[$i] = 1
    if ($1 == "except:") for (i = 2; i <= NF; i++) is_except[$i] = 1
    next
}
FNR == 1 { folder = FILENAME; sub(/\/[^\/]*$/, "", folder) }
!(folder in is_pure) || (FILENAME in is_except) || FILENAME ~ /\.h$/ { next }
# A definition with static storage: no parenthesis before its "=", "[" or ";", and not const.
/^[ \t]*static[ \t]/ {
    text = $0
    sub(/[=;\[].*/, "", text)
    if (text != $0 && text !~ /\(/ && text !~ /const/) {
        print FILENAME ":" FNR ": a variable that outlives the call: " $0
        bad = 1
    }
}
END { exit bad }' tests/lint/layers.txt "$@"
