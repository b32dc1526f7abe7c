/**
 * DOC: the lists in HELLO answers, which are left out where the asker has them
 *
 * A HELLO names, by its number, the list of candidates and ring members that its sender keeps of
 * this gateway, the naming key with it; an answer whose list has that number goes without.  The
 * number is a keyed hash of the list: the gateway remembers nothing of those that ask.  The
 * election sees whole answers.
 */
#ifndef GATEWAY_NODE_NODE_LISTS_H
#define GATEWAY_NODE_NODE_LISTS_H

#include "election/election.h"

/** The last list of each gateway that was asked. */
struct node_lists {
    struct node_list {
        struct id from;
        struct hello_ans ans; /* its list and ring alone */
    } kept[ELECTION_GATEWAYS_MAX];
    size_t count;
    size_t next; /* to be replaced when all are taken */
};

/** node_lists_held - the number of the list that is kept of @from; 0 for none. */
uint64_t node_lists_held(const struct node_lists *l, const struct id *from);

/**
 * node_lists_complete - keep the list that came, or fill in what was left out
 * Returns: ST_OK; ST_NOT_FOUND if it was left out, and none of @from is kept.
 */
NODISCARD enum status node_lists_complete(struct node_lists *l, const struct id *from,
                                          struct hello_ans *ans);

/** node_lists_number - give the answer's list its number, and leave it out where it is @held. */
void node_lists_number(uint64_t seed, uint64_t held, struct hello_ans *ans);

#endif
