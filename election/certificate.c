/* A certificate of this node ends: the role goes to another while this node is still believed. */
#include "election/internal.h"

#include <string.h>

#define HAND_OVER_AGAIN_MS 500

void
certificate_on_event(struct election *e, const struct election_event *ev)
{
    const char *of = ev->certificate.of ? ev->certificate.of : "";
    size_t len = strlen(of);

    e->certificate = ev->certificate.state;
    e->certificate_try_ms = e->now.mono_ms;
    if (len >= sizeof(e->certificate_of))
        len = sizeof(e->certificate_of) - 1;
    memcpy(e->certificate_of, of, len);
    e->certificate_of[len] = '\0';
}

/* The first that was not asked yet, or the first again. */
static const struct candidate *
successor(struct election *e)
{
    const struct candidate *order[ELECTION_CANDIDATES_MAX];
    size_t count = ranking_order(e, order, ELECTION_CANDIDATES_MAX);

    for (size_t i = 0; i < count; i++)
        if (!order[i]->is_self && !leave_has_asked(e, &order[i]->record.ref.node))
            return order[i];
    return NULL;
}

static void
hand_over(struct election *e)
{
    const struct candidate *to;

    if (e->handover.is_under_way || e->is_leaving || e->now.mono_ms < e->certificate_try_ms)
        return;
    e->certificate_try_ms = e->now.mono_ms + HAND_OVER_AGAIN_MS;
    to = successor(e);
    if (to)
        leave_hand_over_certificate(e, &to->record.ref.node);
}

void
certificate_run(struct election *e)
{
    if (e->certificate == ELECTION_CERTIFICATE_VALID)
        return;
    if (e->role == ELECTION_CANDIDATE) {
        record_withdraw(e, ELECTION_RECORD_CANDIDATE);
        election_become(e, ELECTION_OBSERVER, "the certificate of %s %s", e->certificate_of,
                        e->certificate == ELECTION_CERTIFICATE_ENDS ? "ends" : "has ended");
    } else if (e->role == ELECTION_ACTIVE && e->certificate == ELECTION_CERTIFICATE_ENDS) {
        hand_over(e);
    } else if (e->role == ELECTION_ACTIVE) {
        leave_alone(e, "its certificate has ended");
    }
}

uint64_t
certificate_deadline_ms(const struct election *e)
{
    bool is_due = e->certificate == ELECTION_CERTIFICATE_ENDS && e->role == ELECTION_ACTIVE &&
                  !e->handover.is_under_way && !e->is_leaving;

    return is_due ? e->certificate_try_ms : MOMENT_NEVER;
}
