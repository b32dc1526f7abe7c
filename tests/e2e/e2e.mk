# Programs of the end-to-end tests.

INTRUDER_OBJECTS := $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/e2e/intruder*.c tests/conformance/samples*.c))

check-programs: $(OUT)/tests/e2e/intruder
$(OUT)/tests/e2e/intruder: $(INTRUDER_OBJECTS) $(LIBRARY)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
