# Programs of the end-to-end tests.

INTRUDER_OBJECTS := $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/e2e/intruder*.c tests/conformance/samples*.c))

check-programs: $(OUT)/tests/e2e/intruder
$(OUT)/tests/e2e/intruder: $(INTRUDER_OBJECTS) $(LIBRARY)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

# A wall clock that is off: loaded in front of a daemon.
check-programs: $(OUT)/tests/e2e/clock_shift.so
$(OUT)/tests/e2e/clock_shift.so: tests/e2e/clock_shift.c
	@mkdir -p $(@D)
	$(CC) -std=c17 -O1 -Wall -Wextra -fPIC -shared $< -o $@
