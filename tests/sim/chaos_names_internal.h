/**
 * DOC: what the halves of the world of names share
 *
 *     chaos_names.c        what befalls it, and the verdict
 *     chaos_names_world.c  nodes: peer, directory, gateway or not
 */
#ifndef TESTS_SIM_CHAOS_NAMES_INTERNAL_H
#define TESTS_SIM_CHAOS_NAMES_INTERNAL_H

#include "global-overlay/directory.h"
#include "tests/sim/chaos_names.h"
#include "tests/sim/sim.h"

#define CHAOS_NAMES_NODES    20
#define CHAOS_NAMES_OVERLAYS 10
#define CHAOS_NAMES_ASKS     256
#define CHAOS_NAMES_STORY    65536

struct chaos_names_world;

struct chaos_names_node {
    struct chaos_names_world *world;
    unsigned index;
    unsigned overlay;
    unsigned life;
    bool is_up;
    bool is_changed; /* its peer */
    bool is_gateway;
    bool is_lost; /* its bootstrap entries lead nowhere */
    uint32_t term;
    unsigned group;
    uint64_t asleep_ms;    /* since then; while it is */
    uint64_t step_ms;      /* then it steps down: another of a higher term is known; 0: not */
    uint64_t published_ms; /* since then; 0: it is not */
    uint64_t client_ms;    /* then it leaves the ring; 0: not */
    struct directory *directory;
    char user[OVERLAY_NAME_BYTES + 8];
};

struct chaos_names_overlay {
    char name[OVERLAY_NAME_BYTES];
    uint32_t term;
    uint64_t claim_ms[2]; /* by group: then one claims; 0: none is to */
    uint64_t dead_ms;     /* since then none of its nodes is up; 0: one is */
};

struct chaos_names_ask {
    bool is_used, is_past_cache;
    unsigned from, life, overlay;
    uint64_t at_ms;
    uint32_t published; /* bits: the gateways that lived, were published and could be reached */
};

struct chaos_names_world {
    struct sim *sim;
    struct chaos_names_verdict *verdict;
    enum chaos_names_broken broken;
    bool is_loud;
    uint64_t chance;
    unsigned count, overlays;
    struct chaos_names_node node[CHAOS_NAMES_NODES];
    struct chaos_names_overlay overlay[CHAOS_NAMES_OVERLAYS + 1]; /* the last is nobody's */
    uint64_t together_ms[CHAOS_NAMES_NODES]
                        [CHAOS_NAMES_NODES]; /* since then; UINT64_MAX: they are cut apart */
    uint64_t busy_ms;                        /* until then questions come thick and fast */
    uint64_t changed_ms; /* the last misfortune, or the last change of a gateway */
    struct chaos_names_ask ask[CHAOS_NAMES_ASKS];
    size_t story_len;
    char story[CHAOS_NAMES_STORY];
};

uint64_t chaos_names_now(const struct chaos_names_world *w);
unsigned chaos_names_draw(struct chaos_names_world *w, unsigned below);
void chaos_names_tell(struct chaos_names_world *w, const char *format, ...) PRINTF_LIKE(2, 3);

/** chaos_names_judge - what a question was answered; @answer may be NULL. */
void chaos_names_judge(struct chaos_names_world *w, const struct chaos_names_ask *ask,
                       enum status st, const struct directory_answer *answer);

void chaos_names_init(struct chaos_names_world *w, const struct sim_conf *conf);
void chaos_names_done(struct chaos_names_world *w);
/** chaos_names_run_ms - with what nodes do by themselves, and questions, @per_s of them. */
void chaos_names_run_ms(struct chaos_names_world *w, unsigned duration_ms, unsigned per_s);

void chaos_names_start(struct chaos_names_world *w, unsigned node, bool is_lost);
void chaos_names_crash(struct chaos_names_world *w, unsigned node, enum sim_crash how);
void chaos_names_set_group(struct chaos_names_world *w, unsigned node, unsigned group);
/** chaos_names_hand_over - another node of its overlay is gateway at once; false: there is none. */
bool chaos_names_hand_over(struct chaos_names_world *w, unsigned node);
/** chaos_names_published - the gateways of @overlay that live, are published and can be reached by
 * @from. @for_ms: they have been published for so long. @is_excused_too: also those that are cut
 * off from it, or were lately. */
uint32_t chaos_names_published(const struct chaos_names_world *w, unsigned from, unsigned overlay,
                               uint64_t for_ms, bool is_excused_too);

#endif
