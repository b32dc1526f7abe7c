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

# make chaos [SEEDS=1000] [FIRST=1]: elections, and names in the ring, under random misfortune, each seed with its verdict.
FIRST ?= 1
.PHONY: chaos chaos-run
chaos: deps-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release $(BUILD)/release/tests/sim/main_chaos $(BUILD)/release/tests/sim/main_names
	@$(MAKE) --no-print-directory -s MODE=release chaos-run
chaos-run:
	@nice $(OUT)/tests/sim/main_chaos --first $(FIRST) --seeds $(SEEDS)
	@nice $(OUT)/tests/sim/main_names --first $(FIRST) --seeds $(SEEDS)

# make papers [PLUGINS="chord pastry can"] [PAPER_PEERS=1024]: the papers' tables beside ours, and
# build/papers/index.html with hops against N (docs/papers.md has the figures).  CAN runs with 2, 3, 4 and 6 dimensions.
PLUGINS     ?= chord pastry can
PAPER_PEERS ?= 1024
PAPERS      := $(BUILD)/papers

.PHONY: papers papers-run
papers: deps-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) MODE=release $(BUILD)/release/tests/sim/main_papers
	@$(MAKE) --no-print-directory -s MODE=release papers-run
papers-run:
	@mkdir -p $(PAPERS) && rm -f $(PAPERS)/figures.json
	@run="env GLIBC_TUNABLES=glibc.malloc.hugetlb=1 nice $(OUT)/tests/sim/main_papers --peers $(PAPER_PEERS) --json $(PAPERS)/figures.json"; \
	for p in $(PLUGINS); do \
		if [ $$p = can ]; then \
			for d in 2 3 4 6; do $$run --plugin can --parameters dimensions=$$d || exit 1; done; \
		else $$run --plugin $$p || exit 1; fi; \
	done | tee $(PAPERS)/tables.txt
	@PYTHONDONTWRITEBYTECODE=1 python3 tests/sim/papers_report.py $(PAPERS)
