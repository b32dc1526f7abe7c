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

# make seeds [PLUGIN=chord] [SEEDS=1] [SEED=1]: many short runs with churn, each with its verdict.
.PHONY: seeds seeds-run
seeds: deps-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release $(BUILD)/release/tests/sim/main_seeds
	@$(MAKE) --no-print-directory -s MODE=release seeds-run
seeds-run:
	@nice $(OUT)/tests/sim/main_seeds --plugin $(PLUGIN) --seed $(SEED) --seeds $(SEEDS)
