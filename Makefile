# Ringway: see README.md.  `make demo` shows it, `make check` tests it.
#
# Nothing here may fail while it is read on a machine that has only make: demo, check and lint call
# packaging/install-deps first and then run make again.

MODE    ?= release
BUILD   ?= build
OUT     := $(BUILD)/$(MODE)
PREFIX  ?= /usr/local
DESTDIR ?=
JOBS    ?= $(shell nproc 2>/dev/null || echo 2)

CC     := gcc
PKGS   := sofia-sip-ua libevent libevent_openssl libevent_pthreads openssl libconfuse jansson libsystemd sqlite3
WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wno-sign-conversion \
          -Wvla -Wpointer-arith -Wwrite-strings -Wformat=2 -Wundef -Werror
FLAGS_release := -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
FLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# One question for each package: pkg-config answers nothing where one of several is missing.
INCLUDES := $(foreach package,$(PKGS) check,$(shell pkg-config --cflags-only-I $(package) 2>/dev/null))
CPPFLAGS += -I. -D_GNU_SOURCE $(patsubst -I%,-isystem %,$(sort $(INCLUDES)))
CFLAGS   += -std=c17 -pthread $(WARN) $(FLAGS_$(MODE))
LDFLAGS  += -pthread $(filter -fsanitize%,$(FLAGS_$(MODE)))
LDLIBS   += $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm
CHECKLIBS = $(shell pkg-config --libs check 2>/dev/null)

FOLDERS := base config election global-overlay local-overlays peer-protocol gateway
MAINS   := gateway/ringwayd.c gateway/cli/ringwayctl.c
SOURCES := $(filter-out $(MAINS),$(shell find $(wildcard $(FOLDERS)) -name '*.c' | sort))
OBJECTS := $(SOURCES:%.c=$(OUT)/%.o)
LIBRARY := $(OUT)/libringway.a

PROGRAMS := $(patsubst %,$(OUT)/%,$(basename $(notdir $(wildcard $(MAINS)))))

.SECONDARY: # objects stay, so that the next build is short
.PHONY: all
all: $(PROGRAMS)

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# A name that two files define would only be noticed by the program that links both.
$(LIBRARY): $(OBJECTS)
	@rm -f $@
	ar rcs $@ $^
	@twice=$$(nm -g $@ 2>/dev/null | awk '$$2 ~ /[TDBR]/ { print $$3 }' | sort | uniq -d); \
	    [ -z "$$twice" ] || { echo "defined twice: $$twice" >&2; rm -f $@; exit 1; }

# Plug-ins that are loaded find all of base/ and peer-protocol/message/ in the program.
EXPORTED := $(filter $(OUT)/base/% $(OUT)/peer-protocol/message/%,$(OBJECTS))

$(OUT)/ringwayd: $(OUT)/gateway/ringwayd.o $(EXPORTED) $(LIBRARY)
	$(CC) $(LDFLAGS) -Wl,--export-dynamic $^ $(LDLIBS) -o $@

$(OUT)/ringwayctl: $(OUT)/gateway/cli/ringwayctl.o $(LIBRARY)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

# One program for each tests/unit/test_X.c and tests/contract/test_X.c; what stands beside them in
# tests/sim/ (no main) is there for all, and linked where it is used.
SUPPORT := $(filter-out tests/sim/main_%.c,$(wildcard tests/sim/*.c))
SUPPORT_LIBRARY := $(OUT)/tests/libsupport.a
TESTS := $(patsubst %.c,$(OUT)/%,$(wildcard tests/contract/test_*.c) $(wildcard tests/unit/test_*.c)) # the long ones first

$(SUPPORT_LIBRARY): $(SUPPORT:%.c=$(OUT)/%.o)
	@rm -f $@
	ar rcs $@ $^

$(OUT)/tests/%: $(OUT)/tests/%.o $(SUPPORT_LIBRARY) $(LIBRARY)
	$(CC) $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS) $(CHECKLIBS) -o $@
$(OUT)/tests/unit/test_control: $(OUT)/tests/unit/control_played.o
$(OUT)/tests/unit/test_directory $(OUT)/tests/unit/test_directory_young: $(OUT)/tests/unit/directory_ring.o

# tests/sim/sim.mk and tests/fuzz/fuzz.mk bring their own programs and the targets sim and fuzz.
# REPLAYS: fuzz programs that replay their corpus when started without an argument.
REPLAYS :=
-include tests/sim/sim.mk
-include tests/fuzz/fuzz.mk
-include tests/e2e/e2e.mk
-include tests/contract/contract.mk

# ---- what a person types ---------------------------------------------------------------------------

.PHONY: demo demo-run check check-programs check-run lint bench bench-failover deps-%
deps-%:
	@packaging/install-deps $*

demo: deps-demo
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release all
	@$(MAKE) --no-print-directory -s demo-run
demo-run:
	@RINGWAY_BUILD=$(OUT) PYTHONDONTWRITEBYTECODE=1 python3 tests/demo/demo.py $(if $(KEEP),--keep)

# The end-to-end scripts start the sanitized programs too.  A script is what has a __main__.
SCRIPTS = $(sort $(shell grep -ls __main__ tests/conformance/*.py tests/e2e/*.py))
check: deps-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=asan check-programs
	@$(MAKE) --no-print-directory -s MODE=asan check-run
check-programs: all $(TESTS) $(REPLAYS) $(OUT)/tests/e2e/sip_nodes
check-run:
	@RINGWAY_BUILD=$(OUT) tests/run $(TESTS) $(REPLAYS) $(SCRIPTS)

lint: deps-lint
	@tests/lint/run

bench: deps-bench
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release all
	@RINGWAY_BUILD=$(BUILD)/release PYTHONDONTWRITEBYTECODE=1 python3 tests/bench/bench.py $(BENCH)
	@$(MAKE) --no-print-directory -s bench-failover

bench-failover: deps-bench
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release all
	@RINGWAY_BUILD=$(BUILD)/release PYTHONDONTWRITEBYTECODE=1 python3 tests/bench/failover.py $(FAILOVER)

# What becomes of calls that are up when their gateway goes: SURVIVE="--how kill --refresh reinvite ..."
.PHONY: survive
survive: deps-bench
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release all
	@RINGWAY_BUILD=$(BUILD)/release PYTHONDONTWRITEBYTECODE=1 python3 tests/bench/survive.py $(SURVIVE)

# Calls for ten minutes, and a fault every 15 s: SOAK="--seconds N --rate N --faults kill,cut,... --seed N"
.PHONY: soak
soak: deps-bench
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release all
	@RINGWAY_BUILD=$(BUILD)/release PYTHONDONTWRITEBYTECODE=1 python3 tests/soak/soak.py $(SOAK)

# Overlays that start, fifty times, with phones that call from the first moment: STARTS="--rounds N --seed N"
.PHONY: starts
starts: deps-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release all
	@RINGWAY_BUILD=$(BUILD)/release PYTHONDONTWRITEBYTECODE=1 python3 tests/soak/starts.py $(STARTS)

# Gateways killed by the dozen, with phones that ask at the worst moment: KILLS="--kills N --threes N --requests N"
.PHONY: kills
kills: deps-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release all
	@RINGWAY_BUILD=$(BUILD)/release PYTHONDONTWRITEBYTECODE=1 python3 tests/soak/kills.py $(KILLS)

# An overlay cut in two, cut off, under loss, without its ring, and phones that call once a second: CUTS="--parts halves,off ..."
.PHONY: cuts
cuts: deps-bench
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release all
	@RINGWAY_BUILD=$(BUILD)/release PYTHONDONTWRITEBYTECODE=1 python3 tests/soak/cuts.py $(CUTS)

# Rings of many overlays that start, starve and die, and who is found: RINGS="--parts fresh,starved,neighbours,three --overlays N"
.PHONY: rings
rings: deps-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release all
	@RINGWAY_BUILD=$(BUILD)/release PYTHONDONTWRITEBYTECODE=1 python3 tests/soak/rings.py $(RINGS)

# Attacks by phones and members, and what becomes of honest calls meanwhile: ATTACK="NAME ... --keep"
.PHONY: attack
attack: deps-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release all $(BUILD)/release/tests/e2e/intruder $(BUILD)/release/tests/contract/foreign/onehop.so
	@RINGWAY_BUILD=$(BUILD)/release PYTHONDONTWRITEBYTECODE=1 python3 tests/attack/attack.py $(ATTACK)

# Phones of three makers across overlays, some minutes: PHONES="--kind linphone --transport tcp --keep ..."
.PHONY: phones
phones: deps-phones
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release all
	@RINGWAY_BUILD=$(BUILD)/release PYTHONDONTWRITEBYTECODE=1 python3 tests/phones/matrix.py $(PHONES)

.PHONY: install
install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/ringway/examples
	install -m 755 $(OUT)/ringwayd $(DESTDIR)$(PREFIX)/sbin/ringwayd
	install -m 755 $(OUT)/ringwayctl $(DESTDIR)$(PREFIX)/bin/ringwayctl
	install -m 644 README.md CHANGELOG.md LICENSE $(wildcard docs/*.md) $(DESTDIR)$(PREFIX)/share/doc/ringway/
	install -m 644 $(wildcard config/examples/*.conf) $(DESTDIR)$(PREFIX)/share/doc/ringway/examples/

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
