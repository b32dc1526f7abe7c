# The decoders under mutated input, and the examples that both this and the conformance tests use.
#
#   make fuzz                          each group under clang's fuzzer, FUZZ_S seconds each
#   make fuzz-sip [FUZZ_SIP="--messages 200000 --seed 1"]    SIP messages against sanitized nodes; make fuzz sends FUZZ_SIP_MESSAGES
#   build/MODE/tests/fuzz/replay       the same groups over whole, cut and mutated examples

FUZZ_S       ?= 60
FUZZ_SIP_MESSAGES ?= 20000
FUZZ_GROUPS  := message bodies frames private reassembly aor
FUZZ_OBJECTS := $(FUZZ_GROUPS:%=$(OUT)/tests/fuzz/fuzz_%.o)
FUZZ_SOURCES := $(wildcard base/*.c peer-protocol/message/*.c)
FUZZ_CC      ?= clang
FUZZ_FLAGS   := -I. -D_GNU_SOURCE -std=c17 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

SAMPLE_OBJECTS := $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/conformance/samples*.c))
REPLAYS        += $(OUT)/tests/fuzz/replay

check-programs: $(OUT)/tests/conformance/messages
$(OUT)/tests/conformance/messages: $(OUT)/tests/conformance/messages.o $(SAMPLE_OBJECTS) $(LIBRARY)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

# The groups all define the fuzzer's one entry point; the replay takes each under a name of its own.
$(OUT)/tests/fuzz/fuzz_%.o: tests/fuzz/fuzz_%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -DLLVMFuzzerTestOneInput=fuzz_$* -MMD -MP -c $< -o $@

$(OUT)/tests/fuzz/replay: $(OUT)/tests/fuzz/replay.o $(FUZZ_OBJECTS) $(SAMPLE_OBJECTS) $(LIBRARY)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/fuzz/%: tests/fuzz/fuzz_%.c $(FUZZ_SOURCES)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_FLAGS) $^ -o $@

.PHONY: fuzz fuzz-run
fuzz: deps-fuzz
	@$(MAKE) --no-print-directory -s fuzz-run
	@$(MAKE) --no-print-directory -s fuzz-sip FUZZ_SIP="--messages $(FUZZ_SIP_MESSAGES) $(FUZZ_SIP)"
.PHONY: fuzz-sip
fuzz-sip: deps-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=asan all
	@RINGWAY_BUILD=$(BUILD)/asan PYTHONDONTWRITEBYTECODE=1 python3 tests/fuzz/sip/sip_fuzz.py $(FUZZ_SIP)
fuzz-run: $(FUZZ_GROUPS:%=fuzz-%)
fuzz-%: $(BUILD)/fuzz/% $(OUT)/tests/fuzz/replay
	$(OUT)/tests/fuzz/replay --seeds $(BUILD)/fuzz/seeds
	@mkdir -p $(BUILD)/fuzz/corpus/$*
	$< -max_total_time=$(FUZZ_S) -max_len=70000 -timeout=10 -artifact_prefix=$(BUILD)/fuzz/$*- \
	    $(BUILD)/fuzz/corpus/$* $(BUILD)/fuzz/seeds/$*
