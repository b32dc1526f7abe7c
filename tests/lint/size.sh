#!/bin/sh
# Check that a function fits a screen and a file one noun: size.sh FILE...
exec awk '
FNR == 1 { if (last > 800) report(); begin = 0; file = FILENAME }
function report() { print file ": " last " lines, at most 800"; bad = 1 }
{ last = FNR }
/^\{/ { begin = FNR }
/^\}/ {
    if (begin && FNR - begin - 1 > 70) {
        print FILENAME ":" begin ": a function of " FNR - begin - 1 " lines, at most 70"
        bad = 1
    }
    begin = 0
}
END { if (last > 800) report(); exit bad }' "$@"
