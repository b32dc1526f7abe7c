/*
 * A gateway that was stopped asks its stand-bys whether it still is one.
 *
 * The others have closed their links to it, so it may be alone for a while in an overlay of its
 * own, whose records name nobody but itself.  Links come back before the overlay is whole: one that
 * says that another is gateway is believed so far that this one is asked, too, and who is asked by
 * a gateway of before says its claim to it (election/hello.c).
 */
#include <stdlib.h>

#include "gateway/node/node_internal.h"

enum {
    ANSWER_MS = 400,
    RETRY_MS = 100,
    CONFIRM_MS = 2500, /* nobody answers: there is nobody */
    MERGE_MS = 8000,   /* somebody knows better, or will soon: who that is has to be heard */
    MOVE_MS = 1500,
    TURN_MS = 200,     /* whoever has no turn for longer was stopped */
    STANDBY_MS = 5000, /* a stand-by of the time before is one that is asked */
    BODY_BYTES_MAX = 64
};

/** One stand-by's answer; a question that came after this one makes it worthless. */
struct confirm_ask {
    struct node *node;
    uint32_t round;
};

void
node_confirm_turn(struct node *n, struct moment now)
{
    struct standbys *s = &n->standbys;
    uint64_t since_ms = now.mono_ms - s->turn_ms;

    s->awake_ms += since_ms < TURN_MS ? since_ms : TURN_MS;
    s->turn_ms = now.mono_ms;
}

void
node_confirm_note(struct node *n, const struct id *id)
{
    struct standbys *s = &n->standbys;
    size_t at = 0;

    for (size_t i = 0; i < CONFIRM_OTHERS_MAX; i++) {
        if (s->seen_ms[i] > 0 && id_equal(&s->node[i], id)) {
            at = i;
            break;
        }
        if (s->seen_ms[i] < s->seen_ms[at])
            at = i;
    }
    s->node[at] = *id;
    s->seen_ms[at] = s->awake_ms > 0 ? s->awake_ms : 1;
}

static void
note_other(struct node *n, const struct id *id)
{
    struct confirm *c = &n->confirm;

    if (id_is_zero(id) || id_equal(id, &n->conf.local.self.node) || c->count == CONFIRM_OTHERS_MAX)
        return;
    for (size_t i = 0; i < c->count; i++)
        if (id_equal(&c->other[i], id))
            return;
    c->other[c->count++] = *id;
}

static void
on_view(void *ctx, struct moment now, enum status st, const struct signer *from, struct slice body)
{
    struct confirm_ask ask = *(struct confirm_ask *)ctx;
    struct node *n = ask.node;
    const struct election_event locate = {.type = ELECTION_LOCATE};
    struct hello_ans ans;

    (void)from;
    free(ctx);
    if (n->is_ending || !n->confirm.is_under_way || ask.round != n->confirm.round)
        return;
    n->now = now;
    n->confirm.open--;
    if (st == ST_OK)
        st = hello_ans_read(body, &ans);
    if (st == ST_OK && ans.term > election_term(n->election)) {
        n->confirm.is_outdated = true; /* a word is no proof: the record is, or the claim */
        note_other(n, &ans.active);
        election_step(n->election, now, &locate);
    } else if (st == ST_OK) {
        n->confirm.is_agreed = true;
    }
    if (n->confirm.open == 0) /* its links may have been cut meanwhile */
        n->confirm.ask_at_ms = now.mono_ms + RETRY_MS;
    node_settle(n, now);
}

static void
ask(struct node *n, struct moment now, const struct id *candidate)
{
    struct hello_req req = {.term = election_term(n->election),
                            .score = election_score(n->election),
                            .is_candidate = 1}; /* as it will be again, if it has been replaced */
    struct confirm_ask *asked = malloc(sizeof(*asked));
    struct writer w;

    if (!asked)
        return;
    *asked = (struct confirm_ask){n, n->confirm.round};
    writer_init(&w, BODY_BYTES_MAX);
    hello_req_write(&w, &req);
    n->confirm.open++;
    peer_ask(n->peer[NODE_LOCAL], now, candidate, PRIVATE_HELLO, writer_slice(&w), ANSWER_MS,
             &(struct peer_reply){on_view, asked});
    writer_done(&w);
}

/** Returns: is there anybody to ask?  One that was there before may be again: links come back. */
static bool
ask_all(struct node *n, struct moment now)
{
    struct election_candidate candidate[CONFIRM_OTHERS_MAX];
    struct confirm *c = &n->confirm;
    size_t count = election_candidates(n->election, now, candidate, CONFIRM_OTHERS_MAX);

    for (size_t i = 0; i < count; i++)
        note_other(n, &candidate[i].ref.node);
    c->ask_at_ms = MOMENT_NEVER;
    for (size_t i = 0; i < c->count; i++)
        ask(n, now, &c->other[i]);
    if (c->count > 0 && c->open == 0)
        c->ask_at_ms = now.mono_ms + RETRY_MS;
    return c->count > 0;
}

void
node_confirm(struct node *n, struct moment now, const struct node_confirmed *done)
{
    const struct standbys *s = &n->standbys;

    n->now = now;
    n->confirm = (struct confirm){.is_under_way = true,
                                  .round = n->confirm.round + 1,
                                  .ask_at_ms = MOMENT_NEVER,
                                  .until_ms = now.mono_ms + CONFIRM_MS,
                                  .most_ms = now.mono_ms + MERGE_MS,
                                  .done = *done};
    for (size_t i = 0; i < CONFIRM_OTHERS_MAX; i++)
        if (s->seen_ms[i] > 0 && s->awake_ms < s->seen_ms[i] + STANDBY_MS)
            note_other(n, &s->node[i]);
    n->confirm.is_agreed = election_role(n->election) != ELECTION_ACTIVE || !ask_all(n, now);
    node_settle(n, now);
}

/** Calls of a gateway that is replaced are on their way to the one in its place: what comes for
 * them meanwhile is for that one. */
static bool
is_moving(const struct node *n, struct moment now)
{
    return election_role(n->election) != ELECTION_ACTIVE && now.mono_ms < n->confirm.until_ms &&
           node_replica_holds_calls(n);
}

/** On its way out of the overlay that it was alone in, or into the one of the others. */
static bool
is_between_overlays(const struct node *n)
{
    enum peer_state state = peer_state(n->peer[NODE_LOCAL]);

    return state == PEER_LEAVING || state == PEER_JOINING;
}

void
node_confirm_settle(struct node *n, struct moment now)
{
    struct confirm *c = &n->confirm;
    struct node_confirmed done = c->done;
    bool is_active = election_role(n->election) == ELECTION_ACTIVE;
    bool is_open;

    if (!c->is_under_way)
        return;
    if (is_active && (c->is_outdated || is_between_overlays(n)))
        c->until_ms = c->most_ms;
    else if (!is_active && !c->is_replaced)
        c->until_ms = now.mono_ms + MOVE_MS;
    c->is_replaced = !is_active;
    is_open = is_active && now.mono_ms < c->until_ms && (c->is_outdated || !c->is_agreed);
    if (is_open && c->ask_at_ms <= now.mono_ms)
        (void)ask_all(n, now);
    if (is_open || is_moving(n, now))
        return;
    c->is_under_way = false;
    done.done(done.ctx);
}
