/**
 * DOC: what the misdeeds share
 *
 * A deed has one line to say (see intruder.c) and breaks one rule.
 */
#ifndef TESTS_E2E_INTRUDER_H
#define TESTS_E2E_INTRUDER_H

#include "tests/e2e/intruder_line.h"

struct intruder {
    struct line line;
    struct identity *other; /* of another node; NULL */
    const char *under;      /* a Resource's name */
    struct id somebody;     /* else's Node-ID */
    uint64_t seed;
    unsigned count;
    int ms;
};

typedef void intruder_deed(struct intruder *x);

/** intruder_must - end here if the test itself is wrong. */
void intruder_must(bool is_so, const char *what);

/** intruder_random - below @limit; the same deeds for the same seed. */
size_t intruder_random(struct intruder *x, size_t limit);
uint64_t intruder_random_u64(struct intruder *x);

struct id intruder_self(const struct intruder *x);
struct id intruder_resource_of(struct intruder *x, const char *name);

/** intruder_to_neighbour - whoever is at the other end of the link. */
struct destination intruder_to_neighbour(void);

/** intruder_open_line - false after having told that it was refused. */
bool intruder_open_line(struct intruder *x);
void intruder_tell_closed(const struct intruder *x, const char *word);

/** intruder_await - tell how @transaction ends. */
void intruder_await(struct intruder *x, uint64_t transaction);
/** intruder_ask - send one request, as it should be, and tell its end. */
void intruder_ask(struct intruder *x, uint16_t code, struct slice body,
                  const struct destination *to);

/* intruder_names.c: what others may not write, and in whose name */
intruder_deed intruder_store_foreign, intruder_store_foreign_copy, intruder_store_foreign_key,
    intruder_store_broken_value, intruder_store_gateway_record, intruder_join_for_another,
    intruder_leave_for_another, intruder_claim, intruder_claim_for_another, intruder_hand_over,
    intruder_hello, intruder_broken_signatures, intruder_broken_signature, intruder_unsigned,
    intruder_wrong_node_id, intruder_wrong_overlay;

/* intruder_noise.c: links and frames */
intruder_deed intruder_ping, intruder_no_certificate, intruder_no_tls, intruder_half_open,
    intruder_oversize, intruder_unknown_frame, intruder_unsent_acknowledged, intruder_deaf,
    intruder_mutated, intruder_mutated_signed, intruder_mutated_frames, intruder_truncated,
    intruder_fragments;

/* intruder_store.c: more than a share */
intruder_deed intruder_store_copy, intruder_fill, intruder_rounds, intruder_beginnings;

/* intruder_again.c: replays, and addresses of others */
intruder_deed intruder_replayed, intruder_attach_elsewhere;

#endif
