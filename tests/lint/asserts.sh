#!/bin/sh
# Check that each START_TEST holds an assertion, its own or an expect_ or check_ helper: asserts.sh FILE...
exec awk '
FNR == 1 { name = "" }
/^START_TEST\(/ { name = $0; line = FNR; asserts = 0 }
/ck_assert|ck_abort|EXPECT|WAIT_FOR|[^a-z]expect|check_|assert_|must_/ { asserts = 1 }
/^END_TEST/ {
    if (name != "" && !asserts) { print FILENAME ":" line ": " name " asserts nothing"; bad = 1 }
    name = ""
}
END { exit bad }' "$@"
