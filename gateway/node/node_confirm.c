/* A gateway that was stopped asks its stand-bys whether it still is one. */
#include <stdlib.h>

#include "gateway/node/node_internal.h"

enum { ASKED_MAX = 2, ANSWER_MS = 400, RETRY_MS = 100, CONFIRM_MS = 1500, BODY_BYTES_MAX = 64 };

/** One stand-by's answer; a question that came after this one makes it worthless. */
struct confirm_ask {
    struct node *node;
    uint32_t round;
};

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
        n->confirm.is_outdated = true; /* a word is no proof, the record is */
        election_step(n->election, now, &locate);
    } else if (st == ST_OK) {
        n->confirm.is_agreed = true;
    } else if (n->confirm.open == 0) {
        n->confirm.ask_at_ms = now.mono_ms + RETRY_MS; /* its links may have been cut meanwhile */
    }
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

/** Returns: is there anybody to ask? */
static bool
ask_all(struct node *n, struct moment now)
{
    struct election_candidate candidate[ASKED_MAX + 1];
    size_t count = election_candidates(n->election, now, candidate, ASKED_MAX + 1);

    n->confirm.ask_at_ms = MOMENT_NEVER;
    for (size_t i = 0; i < count && n->confirm.open < ASKED_MAX; i++)
        if (!candidate[i].is_self)
            ask(n, now, &candidate[i].ref.node);
    return n->confirm.open > 0;
}

void
node_confirm(struct node *n, struct moment now, const struct node_confirmed *done)
{
    n->now = now;
    n->confirm = (struct confirm){.is_under_way = true,
                                  .round = n->confirm.round + 1,
                                  .ask_at_ms = MOMENT_NEVER,
                                  .until_ms = now.mono_ms + CONFIRM_MS,
                                  .done = *done};
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

void
node_confirm_settle(struct node *n, struct moment now)
{
    struct confirm *c = &n->confirm;
    struct node_confirmed done = c->done;
    bool is_open = c->is_under_way && election_role(n->election) == ELECTION_ACTIVE &&
                   now.mono_ms < c->until_ms && (c->is_outdated || !c->is_agreed);

    if (is_open && c->ask_at_ms <= now.mono_ms && !ask_all(n, now))
        c->ask_at_ms = now.mono_ms + RETRY_MS; /* they were there before: links come back */
    if (!c->is_under_way || (is_open && !c->is_agreed) || is_moving(n, now))
        return;
    c->is_under_way = false;
    done.done(done.ctx);
}
