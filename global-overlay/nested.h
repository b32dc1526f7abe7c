/**
 * DOC: names of other overlays inside our own name, sans-I/O
 *
 * `pastry` and `bupt.pastry` may stand side by side: whether a domain is ours is the longest name
 * that is known, never a suffix test.  This is what a node knows of longer names:
 *
 *     domain:  unknown --judge--> asked --none in a settled ring----------> OURS
 *                                   |\--an entry--------------------------> its name is foreign
 *                                   |\--the ring is young, no response----> UNSURE
 *                                    \--nobody can be asked---------------> BLIND
 *
 * OURS is asked again every fresh_ms as long as it is used, UNSURE and BLIND when they are used.
 *
 *     name:    foreign --kept_s after its last entry, or for ever where it is configured--> unknown
 *
 * A name counts only from an entry that is signed by that overlay (the directory sees to that), or
 * from the word of our own gateway, which had it so.  A domain that was OURS once stays so until an
 * entry says otherwise: what is called every day waits for nobody.
 *
 * Both tables are bounded.  Of domains the least used makes room, and one that was used only once
 * before all others; more than max_asked unknown ones at a time are UNSURE at once.  A foreign name
 * takes the place only of one whose last entry is older than live_s.
 *
 * Source: the design's "Names and identifiers" and "Resolving".
 * Left out on purpose: whom to ask (the environment: the ring, or the gateway), and the file.
 */
#ifndef GLOBAL_OVERLAY_NESTED_H
#define GLOBAL_OVERLAY_NESTED_H

#include "base/log.h"
#include "base/moment.h"
#include "peer-protocol/message/private.h"

#define NESTED_FOREIGN_MAX NAMES_FOREIGN_MAX
#define NESTED_DOMAINS_MAX 256

struct nested;

struct nested_conf {
    char overlay[OVERLAY_NAME_BYTES]; /* our own */
    uint32_t kept_s;                  /* 7 days: a name is foreign after its last entry */
    uint32_t live_s;                  /* 600: after which a name may make room for another */
    uint32_t fresh_ms;                /* 5000: OURS is asked for again */
    uint32_t unsure_ms;               /* 500: UNSURE and BLIND are */
    uint32_t again_ms;                /* 100: the same while somebody waits for better */
    uint32_t wait_ms;                 /* 250: most that somebody waits who has no patience */
    uint32_t lost_ms;                 /* 4000: a question that has no response */
    uint32_t used_ms;                 /* 600000: for so long an unused domain is asked for */
    uint32_t used_once_ms;            /* 30000: one that was used once */
    uint32_t look_ms;                 /* 60000: between looks after the foreign names */
    size_t max_asked;                 /* 32: unknown domains at one time */
    size_t max_waiting;               /* 1024 */
};
void nested_conf_defaults(struct nested_conf *conf);

struct nested_env {
    void *ctx;
    /** ask - whose is @domain?  Followed by one nested_on_verdict() with its token, later or from
     *  within. */
    void (*ask)(void *ctx, uint32_t token, const char *domain);
    /** look - see which foreign names live: each that does comes by nested_hear(). */
    void (*look)(void *ctx);
    /** changed - the set of foreign names did, or (!@is_set) only when one was last seen. */
    void (*changed)(void *ctx, bool is_set);
    struct log_to log;
};

/** How a nested_judge() ended; @name: of the foreign overlay, else "". */
struct nested_judged {
    void (*done)(void *ctx, struct moment now, enum names_verdict verdict, const char *name);
    void *ctx;
};

NODISCARD enum status nested_new(const struct nested_conf *conf, const struct nested_env *env,
                                 struct nested **ret);
/** nested_free - whoever waits hears UNSURE. */
void nested_free(struct nested *n, struct moment now);

/** nested_may_be - is @domain inside our name, so that it could be another's? */
bool nested_may_be(const char *overlay, const char *domain);

/**
 * nested_judge - whose is a domain that is ours or inside it?
 * @patience_ms: beyond wait_ms, to wait for a young ring; 0 for none
 * @done: called exactly once, perhaps before the return
 */
void nested_judge(struct nested *n, struct moment now, const char *domain, uint32_t patience_ms,
                  const struct nested_judged *done);
void nested_on_verdict(struct nested *n, struct moment now, uint32_t token,
                       enum names_verdict verdict);

/** nested_configure - the name is foreign for ever. */
void nested_configure(struct nested *n, const char *name);
/** nested_hear - @name had an entry @age_s ago, by whoever may say so; what is not inside our name
 *  is ignored. */
void nested_hear(struct nested *n, struct moment now, const char *name, uint64_t age_s);
/** nested_look - look after the foreign names now: whom we ask has changed. */
void nested_look(struct nested *n, struct moment now);

/** nested_foreign - the longest foreign name that @domain is in; NULL if it is in none. */
const char *nested_foreign(const struct nested *n, const char *domain);

struct nested_name {
    char name[OVERLAY_NAME_BYTES];
    uint64_t seen_wall_ms; /* its last entry; 0: never */
    bool is_configured;
};
/** nested_names - all foreign names, in no order; borrowed until the next call. */
const struct nested_name *nested_names(const struct nested *n, size_t *ret_count);
size_t nested_domain_count(const struct nested *n);

void nested_tick(struct nested *n, struct moment now);
uint64_t nested_deadline_ms(const struct nested *n);

#endif
