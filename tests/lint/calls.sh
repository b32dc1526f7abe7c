#!/bin/sh
# Check that calls the house bans stay in their one wrapper: calls.sh FILE...
exec awk '
FNR == 1 { in_comment = 0 }
{
    line = $0
    # Comments and strings may name what they like.
    gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
    if (in_comment) { if (!sub(/^.*\*\//, "", line)) next; in_comment = 0 }
    sub(/\/\/.*/, "", line)
    gsub(/\/\*([^*]|\*[^\/])*\*\//, "", line)
    if (sub(/\/\*.*/, "", line)) in_comment = 1
    if (match(line, /(^|[^_[:alnum:].>])(sprintf|vsprintf|strcpy|strcat|atoi|atol|rand|srand|gets|time|sleep|usleep|strtok|system|alloca)[ \t]*\(/)) {
        call = substr(line, RSTART, RLENGTH)
        gsub(/[^a-z]/, "", call)
        print FILENAME ":" FNR ": " call "() is banned"
        bad = 1
    }
}
END { exit bad }' "$@"
