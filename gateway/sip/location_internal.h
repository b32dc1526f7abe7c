/**
 * DOC: the inside of location: what is known of one AOR
 *
 *   location.c          contacts, and their changes one after the other
 *   location_upkeep.c   what was stored once is stored again
 *   location_kept.c     what outlives this run of the node
 */
#ifndef GATEWAY_SIP_LOCATION_INTERNAL_H
#define GATEWAY_SIP_LOCATION_INTERNAL_H

#include "gateway/sip/ask.h"
#include "gateway/sip/location.h"
#include "gateway/sip/origin.h"
#include "gateway/sip/token.h"

struct location_entry {
    struct sip *sip;
    struct location_contact **contact;
    size_t count;
    struct location_note *note;
    size_t note_count;
    struct list_node waiting; /* struct location_change; the first one is under way if is_busy */
    bool is_busy;
    bool is_unstored; /* contacts went away and the overlay does not know yet */
    uint64_t retry_ms;
    uint64_t known_until_wall_ms; /* nothing that was stored of it lives longer */
    struct ask ask;
    struct location_contacts *next; /* what there is once it is stored; or NULL */
    struct list_node due;           /* in one of the upkeep's lists */
    uint64_t due_ms;                /* when it is to be stored again */
    struct id responsible;          /* the peer that said it is stored; zero: none has */
    char aor[];
};

/** Entries that are to be stored again. */
struct upkeep {
    struct list_node urgent; /* their responsible peer has gone */
    struct list_node due;    /* it is time */
    unsigned budget;         /* how many of these may still begin this second */
    unsigned open;           /* under way */
};

struct location {
    size_t removals; /* being stored */
    struct upkeep upkeep;
    struct map *entries;  /* by AOR */
    struct map *by_token; /* struct location_contact, those in force */
    struct origins *origins;
    struct token_key key;
    uint32_t run; /* random: tokens of an earlier run of this node are known as such */
    uint32_t last_number;
    bool is_joined; /* the overlay can be asked to store */
};

/** location_entry_get - the entry of an AOR, made if there is none; NULL without memory or room. */
struct location_entry *location_entry_get(struct sip *s, const char *aor);

/** location_entry_set - what there is now is this. */
NODISCARD enum status location_entry_set(struct location_entry *e,
                                         const struct location_contacts *l);

/** A record of an entry, with room for all that it may say. */
struct location_shown {
    struct binding_contact contact[BINDING_CONTACTS_MAX];
    struct binding_superseded superseded[BINDING_SUPERSEDED_MAX];
    struct binding_record record;
};

/** location_show - as it lies in the overlay; its texts are those of @l. */
void location_show(const struct location_entry *e, const struct location_contacts *l,
                   struct location_shown *ret);

/** location_keep - what there is now outlives this run. */
void location_keep(struct location_entry *e);

/** location_entry_copy - what is live of it becomes e->next.  False without memory. */
bool location_entry_copy(struct location_entry *e);

/** location_entry_store - store e->next; the entry is busy until location_entry_next(). */
void location_entry_store(struct location_entry *e,
                          void (*done)(void *ctx, const struct answer *answer));

/** location_entry_next - it is no longer busy: the next change, or the entry's end. */
void location_entry_next(struct location_entry *e);

/** upkeep_stored - a store of @e has ended; @answer says at which peer. */
void upkeep_stored(struct location_entry *e, const struct answer *answer);

/** upkeep_tick - once a second: is it time to store @e again? */
void upkeep_tick(struct location_entry *e, struct moment now);

/** upkeep_begin_second - after the tick of all entries. */
void upkeep_begin_second(struct location *l);

/** upkeep_pump - store what is due, so many at a time. */
void upkeep_pump(struct location *l);

#endif
