/* Starting, clients and partitions.
 *
 * The one question asked of everybody is a Ping for our own ID through them: [node,
 * resource(self)]. A member's overlay answers it by whoever is responsible for our ID: ourselves,
 * when it is our overlay. A node that is in no overlay answers In_Progress.  Who is not in the
 * overlay says so in the Ping's padding (struct in_progress), so that the asked learns of the
 * asker. */
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_internal.h"

#define FIRST_CHECK_MS        2000 /* after joining: is it the same overlay through all entries? */
#define RETRY_JOIN_MS         500
#define FORM_MS               600 /* a lower Node-ID gets so long to show up */
#define SILENT_WAITS          15 /* bootstrap_wait_ms, for those whose link is up and who say nothing */
#define HEARD_FRESH_MS        4000 /* what an entry said counts for so long */
#define CLIENT_BACKOFF_MAX_MS 800
#define CLIENT_SHARE_MS       100 /* and no more often than this, all entries together */
#define MEMBER_SHARE_MS       40  /* the same for who is to be a member */
#define FEW_ENTRIES           8   /* so many may be asked as often as one likes */
#define CLIENT_ASKS_MAX       8   /* that a client has begun within CLIENT_ASKS_MS */
#define CLIENT_ASKS_MS        250 /* an answer takes less, but from who is not there or very busy */
#define CLIENT_SLOWER         10  /* a client with a member asks those that are none so seldom */

void
peer_bootstrap_start(struct peer *p)
{
    for (size_t i = 0; i < p->conf.bootstrap_count; i++) {
        const char *address = p->conf.bootstrap[i];
        if (strcmp(address, p->conf.self.address) == 0)
            continue;
        struct entry *e = peer_entry_find(p, address, NULL);
        if (e)
            e->is_configured = true;
        else
            (void)peer_entry_add(p, address, NULL, true);
    }
    list_each(at, &p->entries)
    {
        struct entry *e = list_entry(at, struct entry, at);
        e->backoff_ms = PEER_BACKOFF_MIN_MS;
        e->next_ms = p->now.mono_ms;
        e->heard = HEARD_NOTHING;
        e->is_elsewhere = false;
    }
    p->since_ms = p->now.mono_ms;
}

static void
back_off(struct peer *p, struct entry *e)
{
    /* spread by a quarter, so that those who start together do not knock together for ever */
    uint64_t spread_ms = p->env.random(p->env.ctx) % (e->backoff_ms / 4 + 1);

    e->state = ENTRY_IDLE;
    e->next_ms = p->now.mono_ms + e->backoff_ms + spread_ms;
    e->backoff_ms =
        e->backoff_ms * 2 > PEER_BACKOFF_MAX_MS ? PEER_BACKOFF_MAX_MS : e->backoff_ms * 2;
}

static void
heard(struct peer *p, struct entry *e, enum entry_heard what)
{
    e->heard = what;
    e->heard_ms = p->now.mono_ms;
}

/* ---- what we say of ourselves ---- */

/* While no member is known: those that want to be one, lowest Node-ID first, so that all who start
 * at one instant agree on who forms the overlay. */
static void
add_candidates(const struct peer *p, struct in_progress *info)
{
    struct node_ref *first = info->member_count > 0 ? &info->member[1] : &info->member[0];

    list_each(at, &p->entries)
    {
        const struct entry *e = list_entry(at, struct entry, at);
        if (e->heard != HEARD_IN_PROGRESS || !e->wants_membership || e->address[0] == '\0' ||
            id_compare(&e->node, &p->conf.self.node) > 0)
            continue;
        if (first == &info->member[info->member_count])
            info->member_count++;
        else if (id_compare(&e->node, &first->node) > 0)
            continue;
        *first = (struct node_ref){.node = e->node};
        peer_copy_text(first->address, sizeof(first->address), e->address);
    }
}

void
peer_write_in_progress(const struct peer *p, struct writer *w)
{
    struct in_progress info = {.node = p->conf.self.node,
                               .wants_membership = p->aim == PEER_AIM_MEMBER};

    info.member_count = (uint8_t)peer_neighbours(p, info.member, RING_NEIGHBOURS_MAX);
    if (info.member_count == 0 && p->aim == PEER_AIM_MEMBER && !p->is_in) {
        info.member[info.member_count++] = p->conf.self;
        add_candidates(p, &info);
    }
    in_progress_write(w, &info);
}

static void
learn_members(struct peer *p, const struct in_progress *info)
{
    for (size_t i = 0; i < info->member_count && i < RING_NEIGHBOURS_MAX; i++) {
        const struct node_ref *ref = &info->member[i];
        struct entry *e = peer_entry_find(p, NULL, &ref->node);
        if (e && e->address[0] == '\0') /* it came to us: now we know where it listens */
            peer_copy_text(e->address, sizeof(e->address), ref->address);
        else if (!id_equal(&ref->node, &info->node))
            (void)peer_entry_learn(p, ref);
    }
}

/* ---- asking an entry ---- */

/* Two that formed an overlay at the same instant find each other soon: who has just become alone
 * looks around more often. */
static uint64_t
period_ms(const struct peer *p)
{
    uint64_t alone_ms = p->now.mono_ms - p->since_ms;

    if (p->state != PEER_ALONE)
        return p->conf.partition_ping_ms;
    if (alone_ms < PEER_BACKOFF_MIN_MS)
        return PEER_BACKOFF_MIN_MS;
    return moment_earlier_ms(alone_ms, p->conf.partition_ping_alone_ms);
}

/* A client keeps links with two members, not with all it knows; @enough: with how many it needs no
 * further one. */
static bool
is_superfluous(const struct peer *p, const struct link *l, size_t enough)
{
    return p->aim == PEER_AIM_CLIENT && !p->is_engaged && !l->is_member &&
           peer_member_links(p) >= enough && !peer_is_watched(p, &l->node);
}

/* A member of an overlay: ours when our Ping came back to us. */
static void
heard_member(struct peer *p, struct entry *e, const struct id *from)
{
    bool was_elsewhere = e->is_elsewhere;
    bool was_member = e->heard == HEARD_MEMBER;
    struct link *l = peer_link_find(p, &e->node);

    heard(p, e, HEARD_MEMBER);
    e->backoff_ms = PEER_BACKOFF_MIN_MS;
    e->next_ms = p->now.mono_ms + period_ms(p);
    e->is_elsewhere = p->is_in && !id_equal(from, &p->conf.self.node);
    if (l && is_superfluous(p, l, PEER_CLIENT_LINKS))
        peer_disconnect(p, &e->node);
    else if (l && !e->is_elsewhere)
        l->is_member = true;
    if (!e->is_elsewhere) {
        e->lone_ms = 0;
        if (!was_member)
            peer_gone_met(p, &e->node);
        return;
    }
    if (was_elsewhere)
        peer_check_partition(p, &e->node);
    else
        e->next_ms = p->now.mono_ms + p->conf.reliability_ms; /* look twice before moving house */
}

static uint32_t
shared_ms(const struct peer *p, uint32_t share_ms, size_t for_nothing)
{
    uint32_t all_ms = 0;
    size_t count = 0;

    list_each(at, &p->entries) all_ms += ++count > for_nothing ? share_ms : 0;
    return all_ms;
}

/* How often a client that waits for the first member asks the same one again: less often where
 * there are many, as each of those tells of the members it knows. */
static uint32_t
client_backoff_max_ms(const struct peer *p)
{
    uint32_t all_ms = shared_ms(p, CLIENT_SHARE_MS, 0);

    return all_ms > CLIENT_BACKOFF_MAX_MS ? all_ms : CLIENT_BACKOFF_MAX_MS;
}

/* Between two questions to one that has no overlay either.  All who start at the same moment ask
 * each other: where they are many, each asks the same one less often. */
static uint32_t
pause_ms(const struct peer *p)
{
    uint32_t share_ms = p->aim == PEER_AIM_MEMBER ? MEMBER_SHARE_MS : CLIENT_SHARE_MS;
    uint32_t all_ms = shared_ms(p, share_ms, FEW_ENTRIES);

    return all_ms > PEER_BACKOFF_MIN_MS ? all_ms : PEER_BACKOFF_MIN_MS;
}

static void
heard_in_progress(struct peer *p, struct entry *e, struct slice body)
{
    struct link *l = peer_link_find(p, &e->node);
    struct in_progress info;

    if (in_progress_read(body, &info) != ST_OK) {
        heard(p, e, HEARD_FAILURE);
        back_off(p, e);
        return;
    }
    heard(p, e, HEARD_IN_PROGRESS);
    e->wants_membership = info.wants_membership != 0;
    if (l)
        l->is_member = false;
    if (l && is_superfluous(p, l, 1)) /* no member, where there are some */
        peer_disconnect(p, &e->node);
    if (p->state != PEER_JOINING) {
        uint64_t slower = p->aim == PEER_AIM_CLIENT ? CLIENT_SLOWER : 1;
        e->next_ms = p->now.mono_ms + slower * period_ms(p);
    } else if (p->aim == PEER_AIM_MEMBER) {
        e->next_ms = p->now.mono_ms + pause_ms(p);
    } else { /* a client waits for the first member: less often, the longer it takes */
        e->next_ms = p->now.mono_ms + e->backoff_ms;
        if (e->backoff_ms < client_backoff_max_ms(p))
            e->backoff_ms *= 2;
    }
    learn_members(p, &info); /* may push out the entry itself */
}

static void
answered(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct entry *e = ctx; /* it stays while it is asked */

    (void)now;
    if (p->is_ending)
        return;
    e->state = ENTRY_IDLE;
    if (end->st == ST_OK) {
        heard_member(p, e, &end->from->node);
    } else if (end->error == ERROR_IN_PROGRESS && id_equal(&end->from->node, &e->node)) {
        heard_in_progress(p, e, end->body);
    } else {
        heard(p, e, HEARD_FAILURE);
        back_off(p, e);
    }
}

static void
ask(struct peer *p, struct entry *e)
{
    struct destination to[2] = {destination_node(&e->node),
                                destination_resource(&p->conf.self.node)};
    struct writer padding, body;
    struct ping_req ping = {0};
    struct outgoing o = {.to = to,
                         .count = 2,
                         .code = MESSAGE_PING_REQ,
                         .is_any_responder = true,
                         .deadline_ms = p->conf.request_deadline_ms,
                         .done = answered,
                         .ctx = e};

    e->state = ENTRY_ASKING;
    e->next_ms = MOMENT_NEVER;
    writer_init(&padding, UINT16_MAX);
    writer_init(&body, UINT16_MAX);
    if (!p->is_in)
        peer_write_in_progress(p, &padding);
    ping.padding = writer_slice(&padding);
    ping_req_write(&body, &ping);
    o.body = writer_slice(&body);
    peer_request(p, &o);
    writer_done(&padding);
    writer_done(&body);
}

/* Without a link first that: by its address, or not at all.  Others are due before it is again. */
static void
try_entry(struct peer *p, struct entry *e)
{
    e->tried_ms = p->now.mono_ms;
    list_remove(&e->at);
    list_append(&p->entries, &e->at);
    if (e->has_node && peer_link_is_up(p, &e->node)) {
        ask(p, e);
        return;
    }
    if (e->address[0] == '\0') {
        heard(p, e, HEARD_FAILURE);
        back_off(p, e);
        return;
    }
    e->state = ENTRY_CONNECTING;
    e->next_ms = p->now.mono_ms + PEER_CONNECT_MS;
    p->env.connect(p->env.ctx, e->address, NULL);
}

void
peer_bootstrap_link_up(struct peer *p, struct link *l, const char *address)
{
    struct entry *e = address[0] != '\0' ? peer_entry_find(p, address, NULL) : NULL;

    if (e) {
        e->node = l->node; /* whoever has this address now */
        e->has_node = true;
    } else {
        e = peer_entry_find(p, NULL, &l->node);
    }
    if (!e || e->state == ENTRY_ASKING)
        return;
    ask(p, e);
}

void
peer_bootstrap_link_down(struct peer *p, const struct id *node)
{
    struct entry *e = peer_entry_find(p, NULL, node);
    bool was_client;

    if (!e)
        return;
    /* It is no member, has told whom it knows, and wants no link: it is left alone for longer. */
    was_client = e->heard == HEARD_IN_PROGRESS && !e->wants_membership;
    e->heard = HEARD_FAILURE;
    if (e->address[0] == '\0') {
        if (e->state != ENTRY_ASKING) {
            list_remove(&e->at);
            free(e);
        }
    } else if (e->state != ENTRY_ASKING && was_client && p->state == PEER_JOINING) {
        back_off(p, e);
    } else if (e->state != ENTRY_ASKING) {
        e->state = ENTRY_IDLE;
        e->backoff_ms = PEER_BACKOFF_MIN_MS;
        e->next_ms =
            p->now.mono_ms + (p->state == PEER_JOINING ? PEER_BACKOFF_MIN_MS : period_ms(p));
    }
}

void
peer_bootstrap_connect_failed(struct peer *p, const char *address)
{
    struct entry *e = peer_entry_find(p, address, NULL);

    if (!e || e->state != ENTRY_CONNECTING)
        return;
    heard(p, e, HEARD_FAILURE);
    back_off(p, e);
}

/* ---- asked by others ---- */

/* Who asks us is there; it need not be asked at once each time that it asks, or two that wait for
 * the same would ask each other without end. */
static void
ask_soon(const struct peer *p, struct entry *e)
{
    uint64_t soon_ms = p->now.mono_ms + PEER_BACKOFF_MIN_MS;
    uint64_t least_ms = e->tried_ms + pause_ms(p);

    if (soon_ms < least_ms)
        soon_ms = least_ms;
    if (e->next_ms > soon_ms)
        e->next_ms = soon_ms;
}

/* Someone we have a link with is not in our overlay.  If it wants in, it counts among those that
 * may form one; if it says it is in one, there are two. */
static void
meet(struct peer *p, const struct id *node, struct slice padding)
{
    struct link *l = peer_link_find(p, node);
    struct entry *e = peer_entry_find(p, NULL, node);
    struct in_progress info;
    bool is_outside = padding.len > 0 && in_progress_read(padding, &info) == ST_OK;

    if (!l || !l->is_up || id_equal(node, &p->conf.self.node))
        return;
    if (!is_outside && !p->is_in)
        return;
    if (!e)
        e = peer_entry_add(p, l->address, node, false);
    if (!e || e->state == ENTRY_ASKING)
        return;
    e->has_node = true;
    if (is_outside) {
        heard(p, e, HEARD_IN_PROGRESS);
        e->wants_membership = info.wants_membership != 0;
        if (p->state == PEER_JOINING)
            ask_soon(p, e);
        learn_members(p, &info); /* may push out the entry itself */
    } else if (e->next_ms > p->now.mono_ms + p->conf.reliability_ms) {
        e->next_ms = p->now.mono_ms;
    }
}

/* Either it asked for its own ID and we, not it, are responsible for that; or it tells us, by what
 * is in the padding, that ours is the overlay which has to move (peer_partition.c). */
void
peer_bootstrap_pinged(struct peer *p, const struct incoming *in, struct slice padding)
{
    const struct id *sender = &in->signer->node;
    bool is_own_id = in->target.type == DESTINATION_RESOURCE && id_equal(&in->target.id, sender);
    bool is_hint = in->target.type == DESTINATION_NODE && padding.len > 0;

    if (!p->is_in || !id_equal(in->link, sender) || id_equal(sender, &p->conf.self.node))
        return;
    if (is_hint || (is_own_id && padding.len == 0))
        meet(p, sender, slice_of(NULL, 0));
}

void
peer_bootstrap_overheard(struct peer *p, const struct id *from, struct slice message)
{
    struct signer signer;
    struct ping_req ping;
    struct message m;

    if (message_decode(message, &m, NULL) != ST_OK || m.contents.code != MESSAGE_PING_REQ ||
        m.header.via.len > 0 || ping_req_read(m.contents.body, &ping) != ST_OK)
        return;
    if (envelope_verify(&p->envelope, &m, from, p->now.wall_ms, &signer, NULL) != ST_OK ||
        !id_equal(&signer.node, from))
        return;
    meet(p, from, ping.padding);
}

/* ---- deciding ---- */

static void
form(struct peer *p, const char *reason)
{
    log_to(&p->env.log, LOG_LEVEL_INFO, "%s: forming the overlay: %s", p->conf.overlay, reason);
    p->informant = (struct id){{0}};
    p->is_engaged = true;
    peer_ops(p)->form(p->topology, p->now);
}

static void
join(struct peer *p, const struct id *informant)
{
    char text[ID_TEXT_BYTES];

    log_to(&p->env.log, LOG_LEVEL_INFO, "%s: joining through %s", p->conf.overlay,
           id_text(informant, text));
    p->informant = *informant;
    p->is_engaged = true;
    peer_ops(p)->join(p->topology, p->now, informant);
}

/** What the entries have said by now. */
struct summary {
    const struct entry *member; /* one with a link */
    size_t asked;               /* entries in all */
    size_t open;                /* not heard of yet */
    size_t in_progress;
    bool has_silent; /* one with a link and without an answer */
    bool has_lower;  /* one that wants membership too and has a lower Node-ID */
};

static struct summary
sum_up(const struct peer *p)
{
    struct summary s = {0};

    list_each(at, &p->entries)
    {
        const struct entry *e = list_entry(at, struct entry, at);
        bool is_fresh = p->now.mono_ms - e->heard_ms < HEARD_FRESH_MS;
        s.asked++;
        if (e->heard == HEARD_NOTHING)
            s.open++;
        if ((e->heard == HEARD_NOTHING || e->heard == HEARD_FAILURE) && e->has_node &&
            peer_link_is_usable(p, &e->node))
            s.has_silent = true;
        if (e->heard == HEARD_MEMBER && peer_link_is_usable(p, &e->node) &&
            (!s.member || (p->is_rejoining && id_equal(&e->node, &p->rejoin_through))))
            s.member = e;
        if (e->heard != HEARD_IN_PROGRESS || !is_fresh)
            continue;
        s.in_progress++;
        if (e->wants_membership && id_compare(&e->node, &p->conf.self.node) < 0)
            s.has_lower = true;
    }
    return s;
}

static bool
is_client_of_any(const struct peer *p)
{
    return peer_member_links(p) > 0;
}

void
peer_bootstrap_look(struct peer *p)
{
    list_each(at, &p->entries)
    {
        struct entry *e = list_entry(at, struct entry, at);
        if (e->state == ENTRY_IDLE && e->next_ms > p->now.mono_ms + PEER_BACKOFF_MIN_MS)
            e->next_ms = p->now.mono_ms + PEER_BACKOFF_MIN_MS;
    }
}

bool
peer_seek(struct peer *p, struct moment now)
{
    p->now = now;
    list_each(at, &p->entries)
    {
        struct entry *e = list_entry(at, struct entry, at);
        if (e->address[0] == '\0' || now.mono_ms < e->tried_ms + PEER_SEEK_MS ||
            (e->has_node && peer_link_is_up(p, &e->node)))
            continue;
        if (e->state == ENTRY_IDLE) {
            e->backoff_ms = PEER_BACKOFF_MIN_MS;
            e->next_ms = now.mono_ms;
        } else if (e->state == ENTRY_CONNECTING) {
            e->tried_ms = now.mono_ms;
            p->env.connect(p->env.ctx, e->address, NULL);
        }
    }
    return !list_is_empty(&p->entries);
}

void
peer_seek_members(struct peer *p, struct moment now, uint32_t pause_ms)
{
    p->now = now;
    list_each(at, &p->entries)
    {
        struct entry *e = list_entry(at, struct entry, at);
        const struct link *l = e->has_node ? peer_link_find(p, &e->node) : NULL;

        if (e->state == ENTRY_IDLE && !(l && l->is_up && l->is_member) &&
            now.mono_ms >= e->tried_ms + pause_ms)
            e->next_ms = moment_earlier_ms(e->next_ms, now.mono_ms);
    }
}

bool
peer_meets_others(const struct peer *p)
{
    list_each(at, &p->entries)
    {
        const struct entry *e = list_entry(at, struct entry, at);
        if (e->heard == HEARD_MEMBER && e->is_elsewhere && peer_link_is_usable(p, &e->node))
            return true;
    }
    return p->state == PEER_JOINING;
}

bool
peer_finds_no_member(const struct peer *p)
{
    struct summary s;

    if (p->aim != PEER_AIM_CLIENT || p->state != PEER_JOINING ||
        p->now.mono_ms - p->since_ms < FORM_MS)
        return false;
    s = sum_up(p);
    return !s.member && s.open == 0 && !s.has_silent && s.in_progress > 0;
}

static void
decide_client(struct peer *p)
{
    if (p->state == PEER_JOINING && is_client_of_any(p))
        peer_become(p, PEER_JOINED, "client of a member");
    else if (p->state == PEER_JOINED && !is_client_of_any(p)) {
        peer_become(p, PEER_JOINING, "no link with a member is left");
        peer_bootstrap_look(p);
    }
}

/* How long one is waited for that does not answer, though its link is up. */
static uint64_t
silence_ms(const struct peer *p)
{
    return (uint64_t)SILENT_WAITS * p->conf.bootstrap_wait_ms;
}

/*
 * Who is linked with somebody that does not answer waits longer: that may be a member, and what is
 * asked through it is lost where others still take us for the member we were before a restart.  An
 * overlay of our own beside theirs would be worse than half a minute without one.
 */
static void
decide_member(struct peer *p)
{
    struct summary s = sum_up(p);
    uint64_t waited_ms = p->now.mono_ms - p->since_ms;
    bool is_late = waited_ms >= p->conf.bootstrap_wait_ms;

    if (p->is_rejoining && !is_late &&
        (!s.member || !id_equal(&s.member->node, &p->rejoin_through)))
        return; /* not back into the overlay it came from */
    if (s.member)
        join(p, &s.member->node);
    else if ((s.open > 0 && !is_late) || (s.has_silent && waited_ms < silence_ms(p)))
        return;
    else if (s.asked == 0)
        form(p, "there is nobody to ask");
    else if (s.in_progress > 0 && !s.has_lower && waited_ms >= FORM_MS)
        form(p, "nobody has joined yet, and this node has the lowest Node-ID");
    else if (s.in_progress == 0 && is_late)
        form(p, "nobody answers");
}

void
peer_bootstrap_decide(struct peer *p)
{
    if (p->is_stuck || p->is_ending || p->is_engaged)
        return;
    if (p->aim == PEER_AIM_CLIENT)
        decide_client(p);
    else if (p->aim == PEER_AIM_MEMBER && p->state == PEER_JOINING)
        decide_member(p);
}

void
peer_bootstrap_joined(struct peer *p)
{
    if (p->is_rejoining)
        peer_tell_partition(p);
    p->is_rejoining = false;
    list_each(at, &p->entries)
    {
        struct entry *e = list_entry(at, struct entry, at);
        uint64_t check_ms = p->now.mono_ms + FIRST_CHECK_MS + p->env.random(p->env.ctx) % 500;
        if (e->state == ENTRY_IDLE && e->next_ms > check_ms)
            e->next_ms = check_ms;
    }
}

void
peer_bootstrap_join_failed(struct peer *p)
{
    p->since_ms = p->now.mono_ms; /* nobody forms an overlay because a join failed just now */
    list_each(at, &p->entries) /* one node may have several: its address, and that it came to us */
    {
        struct entry *e = list_entry(at, struct entry, at);
        if (!e->has_node || !id_equal(&e->node, &p->informant))
            continue;
        e->heard = HEARD_NOTHING; /* ask again before the next attempt */
        if (e->state == ENTRY_ASKING)
            continue;
        e->state = ENTRY_IDLE;
        e->next_ms = p->now.mono_ms + RETRY_JOIN_MS;
    }
}

/* ---- time ---- */

/** What a walk over the entries need not find out at each of them. */
struct look {
    size_t members; /* that we have links with */
    size_t busy;    /* entries that are being asked, since lately */
};

static bool
is_busy(const struct peer *p, const struct entry *e)
{
    return e->state != ENTRY_IDLE && p->now.mono_ms < e->tried_ms + CLIENT_ASKS_MS;
}

static struct look
look_around(const struct peer *p)
{
    struct look l = {0};

    if (p->aim != PEER_AIM_CLIENT)
        return l;
    l.members = peer_member_links(p);
    list_each(at, &p->entries) l.busy += is_busy(p, list_entry(at, struct entry, at));
    return l;
}

/* A client with its two members leaves the other entries alone, but asks those two now and then
 * whether they still are members.  Where there is none yet, or one is lost, all clients look for
 * another at the same moment: each asks a few at a time. */
static bool
is_needed(const struct peer *p, const struct look *l, const struct entry *e)
{
    if (p->state == PEER_DOWN || p->state == PEER_LEAVING)
        return false;
    if (p->aim != PEER_AIM_CLIENT)
        return true;
    if (l->busy >= CLIENT_ASKS_MAX && e->state == ENTRY_IDLE && e->heard != HEARD_MEMBER)
        return false;
    return p->state != PEER_JOINED || l->members < PEER_CLIENT_LINKS ||
           (e->has_node && peer_link_is_up(p, &e->node));
}

static void
run_entries(struct peer *p, bool members)
{
    struct look l = look_around(p);

    list_each(at, &p->entries)
    {
        struct entry *e = list_entry(at, struct entry, at);
        if (e->next_ms > p->now.mono_ms || e->state == ENTRY_ASKING ||
            (e->heard == HEARD_MEMBER) != members || !is_needed(p, &l, e))
            continue;
        if (e->state == ENTRY_CONNECTING) {
            heard(p, e, HEARD_FAILURE);
            back_off(p, e);
        } else {
            try_entry(p, e);
            l.busy += is_busy(p, e);
        }
    }
}

void
peer_bootstrap_tick(struct peer *p)
{
    run_entries(p, true); /* who was one before */
    run_entries(p, false);
}

uint64_t
peer_bootstrap_deadline_ms(const struct peer *p)
{
    uint64_t at_ms = MOMENT_NEVER;
    struct look l = look_around(p);

    list_each(at, &p->entries)
    {
        const struct entry *e = list_entry(at, struct entry, at);
        if (e->state != ENTRY_ASKING && is_needed(p, &l, e))
            at_ms = moment_earlier_ms(at_ms, e->next_ms);
        if (l.busy >= CLIENT_ASKS_MAX && is_busy(p, e)) /* one more may be asked then */
            at_ms = moment_earlier_ms(at_ms, e->tried_ms + CLIENT_ASKS_MS);
    }
    if (p->state == PEER_JOINING && !p->is_engaged && p->aim == PEER_AIM_MEMBER) {
        uint64_t waited_ms = p->now.mono_ms - p->since_ms;
        if (waited_ms < FORM_MS)
            at_ms = moment_earlier_ms(at_ms, p->since_ms + FORM_MS);
        else if (waited_ms < p->conf.bootstrap_wait_ms)
            at_ms = moment_earlier_ms(at_ms, p->since_ms + p->conf.bootstrap_wait_ms);
        else if (waited_ms < silence_ms(p))
            at_ms = moment_earlier_ms(at_ms, p->since_ms + silence_ms(p));
    }
    return at_ms;
}
