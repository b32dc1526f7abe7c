# Ringway: see README.md.  `make demo` shows it, `make check` tests it.

MODE   ?= release
BUILD  ?= build
OUT    := $(BUILD)/$(MODE)
PREFIX ?= /usr/local

CC     := gcc
PKGS   := sofia-sip-ua libevent libevent_openssl libevent_pthreads openssl libconfuse jansson libsystemd
WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wno-sign-conversion \
          -Wvla -Wpointer-arith -Wwrite-strings -Wformat=2 -Wundef -Werror
FLAGS_release := -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
FLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CPPFLAGS += -I. -D_GNU_SOURCE $(patsubst -I%,-isystem %,$(shell pkg-config --cflags-only-I $(PKGS) check 2>/dev/null))
CFLAGS   += -std=c17 -pthread $(WARN) $(FLAGS_$(MODE))
LDFLAGS  += -pthread $(filter -fsanitize%,$(FLAGS_$(MODE)))
LDLIBS   += $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm
CHECKLIBS = $(shell pkg-config --libs check 2>/dev/null)

FOLDERS := base config election global-overlay local-overlays peer-protocol gateway
MAINS   := gateway/ringwayd.c gateway/cli/ringwayctl.c
SOURCES := $(filter-out $(MAINS),$(shell find $(FOLDERS) -name '*.c' | sort))
OBJECTS := $(SOURCES:%.c=$(OUT)/%.o)
LIBRARY := $(OUT)/libringway.a

PROGRAMS := $(patsubst %,$(OUT)/%,$(basename $(notdir $(wildcard $(MAINS)))))

.PHONY: all
all: $(PROGRAMS)

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(LIBRARY): $(OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(OUT)/ringwayd: $(OUT)/gateway/ringwayd.o $(LIBRARY)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(OUT)/ringwayctl: $(OUT)/gateway/cli/ringwayctl.o $(LIBRARY)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

# One program for each tests/unit/test_X.c and tests/contract/test_X.c; what stands beside them in
# tests/sim/ (no main) is linked to each.
SUPPORT := $(filter-out tests/sim/main_%.c,$(wildcard tests/sim/*.c))
SUPPORT_OBJECTS := $(SUPPORT:%.c=$(OUT)/%.o)
TESTS := $(patsubst %.c,$(OUT)/%,$(wildcard tests/unit/test_*.c tests/contract/test_*.c))

$(OUT)/tests/unit/test_% $(OUT)/tests/contract/test_%: LDLIBS := $(LDLIBS) $(CHECKLIBS)
$(OUT)/tests/%: $(OUT)/tests/%.o $(SUPPORT_OBJECTS) $(LIBRARY)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) $(CHECKLIBS) -o $@

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
