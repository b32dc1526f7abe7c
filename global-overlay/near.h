/**
 * DOC: whose nodes have come to this one in the ring
 *
 * A node of an overlay whose gateway has no entry yet knocks at the ring, or is a client of it: its
 * certificate is for "overlay@NAME".  Where such a node is linked with this one, or was until
 * NEAR_MS ago, the ring may be settled, but its entry for that name may be on its way: an absence
 * is no proof then.  A node speaks for the name in its certificate alone.
 *
 * Bounded: of more than NEAR_MAX nodes the one that left longest ago, or else came first, is
 * forgotten.
 */
#ifndef GLOBAL_OVERLAY_NEAR_H
#define GLOBAL_OVERLAY_NEAR_H

#include "base/id.h"
#include "base/moment.h"
#include "peer-protocol/message/private.h"

#define NEAR_MAX 128
#define NEAR_MS  10000

struct near_node {
    struct id node;
    char overlay[OVERLAY_NAME_BYTES]; /* lower case; "": unused */
    bool is_linked;
    uint64_t at_ms; /* it came, or left */
};

struct near {
    struct near_node node[NEAR_MAX];
};

/** near_linked - @user: the user name of its certificate; one that is not "overlay@NAME" is left
 * out */
void near_linked(struct near *n, struct moment now, const struct id *node, const char *user);
void near_left(struct near *n, struct moment now, const struct id *node);

/** near_has - is, or was lately, a node of @overlay (lower case) here? */
bool near_has(const struct near *n, struct moment now, const char *overlay);

#endif
