# make sim [PLUGIN=chord] [PEERS=500] [SEEDS=1] [SEED=1] [LOSS=0]: a whole overlay on a virtual clock.

PLUGIN ?= chord
PEERS  ?= 500
SEEDS  ?= 1
SEED   ?= 1
LOSS   ?= 0

.PHONY: sim sim-run
sim: deps-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release $(BUILD)/release/tests/sim/main_overlay
	@$(MAKE) --no-print-directory -s MODE=release sim-run
sim-run:
	@$(OUT)/tests/sim/main_overlay --plugin $(PLUGIN) --peers $(PEERS) --seed $(SEED) \
		--seeds $(SEEDS) --loss $(LOSS)
