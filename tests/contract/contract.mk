# The contract suites, and a plug-in that is built as one outside the tree would be.
#
#   make contract      every promise of local-overlays/topology.h against every plug-in

FOREIGN         := $(OUT)/tests/contract/foreign/onehop.so
FOREIGN_SOURCES := $(wildcard tests/contract/foreign/onehop*.c)
CONTRACT        := $(OUT)/tests/contract/test_topology $(OUT)/tests/contract/test_sim

check-programs: $(FOREIGN)
$(FOREIGN): $(FOREIGN_SOURCES) $(wildcard tests/contract/foreign/*.h) local-overlays/topology.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -shared $(LDFLAGS) $(FOREIGN_SOURCES) -o $@

$(CONTRACT): $(OUT)/tests/contract/plugins.o $(EXPORTED)
$(CONTRACT): LDFLAGS += -Wl,--export-dynamic

.PHONY: contract contract-programs contract-run
contract: deps-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release contract-programs
	@$(MAKE) --no-print-directory -s MODE=release contract-run
contract-programs: $(CONTRACT) $(FOREIGN)
contract-run:
	@RINGWAY_PLUGINS=$${RINGWAY_PLUGINS:-$(FOREIGN)} PYTHONDONTWRITEBYTECODE=1 python3 tests/contract/promises.py $(CONTRACT)
