/* What is held against those whose signatures are bad, and against good ones that are old. */
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_internal.h"

#define SHUT_OUT_MS    60000
#define SEQUENCES_A_MS 10      /* as a shift: 1,024 requests a millisecond */
#define AGE_MS         1800000 /* clocks differ */
#define SECOND_MS      1000
#define SIGNERS_MAX    4096
#define ADDRESS_MAX    (NODE_ADDRESS_BYTES - 1)

/* ---- bad signatures ----------------------------------------------------------------------------
 */

static void
shut_out(struct peer *p, const struct id *node)
{
    struct shut_out *s = &p->shut_out[p->shut_out_next++ % PEER_SHUT_OUT_MAX];

    s->node = *node;
    s->until_ms = p->now.mono_ms + SHUT_OUT_MS;
}

bool
peer_is_shut_out(const struct peer *p, const struct id *node)
{
    for (unsigned i = 0; i < PEER_SHUT_OUT_MAX; i++)
        if (p->now.mono_ms < p->shut_out[i].until_ms && id_equal(&p->shut_out[i].node, node))
            return true;
    return false;
}

/* Who forwards does not verify (RFC 6940 section 6.3.4), and is not to blame. */
void
peer_bad_signature(struct peer *p, const struct id *from, const struct message *m, enum status st)
{
    struct link *l = peer_link_find(p, from);
    struct id node = *from;
    char text[ID_TEXT_BYTES];
    const char *user = "";

    if (!l || st != ST_SIGNATURE || m->header.via.len > 0)
        return;
    if (++l->bad_signatures < p->conf.max_bad_signatures || p->conf.max_bad_signatures == 0)
        return;
    if (p->env.link_user)
        user = p->env.link_user(p->env.ctx, &node);
    log_to(&p->env.log, LOG_LEVEL_REMOTE,
           "%s: link with %s %s closed: %u bad signatures, shut out for %d s", p->conf.overlay,
           user, id_text(&node, text), p->conf.max_bad_signatures, SHUT_OUT_MS / SECOND_MS);
    shut_out(p, &node);
    peer_link_end(p, l, "bad signatures");
}

/* ---- old requests ------------------------------------------------------------------------------
 */

void
peer_write_fresh(struct peer *p, const struct destination *to, struct writer *extensions)
{
    uint64_t sequence = p->now.wall_ms << SEQUENCES_A_MS;
    struct extension e = {.type = EXTENSION_FRESH};
    struct writer contents;

    p->sequence = sequence > p->sequence ? sequence : p->sequence + 1;
    writer_init(&contents, UINT16_MAX);
    writer_u64(&contents, p->sequence);
    destination_write(&contents, to);
    e.contents = writer_slice(&contents);
    extension_write(extensions, &e);
    writer_done(&contents);
}

struct fresh {
    bool is_there;
    uint64_t sequence;
    struct destination to;
};

static enum status
read_fresh(struct slice extensions, struct fresh *ret)
{
    struct extension e;
    struct reader r, contents;

    reader_init(&r, extensions);
    while (extension_read(&r, &e)) {
        if (e.type != EXTENSION_FRESH)
            continue;
        reader_init(&contents, e.contents);
        ret->sequence = reader_u64(&contents);
        if (!destination_read(&contents, &ret->to) || !reader_is_done(&contents))
            return ST_MALFORMED;
        ret->is_there = true;
    }
    return ST_OK;
}

static bool
is_same(const struct destination *a, const struct destination *b)
{
    return a->type == b->type && a->type != DESTINATION_OPAQUE && id_equal(&a->id, &b->id);
}

static bool
is_recent(const struct peer *p, uint64_t sequence)
{
    uint64_t at_ms = sequence >> SEQUENCES_A_MS;
    uint64_t apart_ms = at_ms > p->now.wall_ms ? at_ms - p->now.wall_ms : p->now.wall_ms - at_ms;

    return apart_ms <= AGE_MS;
}

/* What comes over the signer's own link is not older than that: TLS lets nobody else say it. */
enum status
peer_check_fresh(struct peer *p, const struct incoming *in, struct why *why)
{
    const struct message *m = in->message;
    const struct id *signer = &in->signer->node;
    bool is_direct = m->header.via.len == 0 && id_equal(in->link, signer);
    struct fresh f = {.is_there = false};

    if (read_fresh(m->contents.extensions, &f) != ST_OK)
        return why_set(why, ST_MALFORMED, "malformed extension of a request");
    if (!p->replays && replays_new(SIGNERS_MAX, &p->replays) != ST_OK)
        return ST_NOMEM;
    if (is_direct) {
        if (f.is_there)
            replays_restart(p->replays, signer, f.sequence);
        return ST_OK;
    }
    if (!f.is_there)
        return why_set(why, ST_FORBIDDEN, "a forwarded request that does not say when and to whom");
    if (!is_same(&f.to, &in->target))
        return why_set(why, ST_FORBIDDEN, "a request that was sent to another node");
    if (!is_recent(p, f.sequence))
        return why_set(why, ST_FORBIDDEN,
                       "a request of another time: over %d s from this node's clock",
                       AGE_MS / SECOND_MS);
    if (!replays_take(p->replays, signer, f.sequence))
        return why_set(why, ST_FORBIDDEN, "a request that was here before");
    return ST_OK;
}

/* ---- whose address is it? ----------------------------------------------------------------------
 */

void
peer_write_address(const struct peer *p, struct writer *extensions)
{
    struct extension e = {.type = EXTENSION_ADDRESS, .contents = slice_text(p->conf.address)};

    if (p->conf.address[0])
        extension_write(extensions, &e);
}

/* "10.1.2.3:6084" and "[::1]:6084" without their port; @out is as long as @text. */
static void
host_of(const char *text, char out[NODE_ADDRESS_BYTES])
{
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);

    if (text[0] != '[' && colon && strchr(text, ':') != colon)
        len = strlen(text); /* IPv6 without a port */
    if (text[0] == '[' && len > 2 && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (len > ADDRESS_MAX)
        len = ADDRESS_MAX;
    memcpy(out, text, len);
    out[len] = '\0';
}

static bool
is_hash(const struct peer *p, const char *address, const struct id *node)
{
    struct id hash = peer_hash(p, address);

    return id_equal(&hash, node);
}

/* Node-IDs are Hash(address): who says which address it is, shows it. */
bool
peer_is_address_of(const struct peer *p, const struct id *node, const char *address,
                   struct slice extensions)
{
    char said[NODE_ADDRESS_BYTES], said_host[NODE_ADDRESS_BYTES], host[NODE_ADDRESS_BYTES];
    struct extension e;
    struct reader r;

    if (!p->conf.address[0])
        return true;
    host_of(address, host);
    if (is_hash(p, host, node) || is_hash(p, address, node))
        return true;
    reader_init(&r, extensions);
    while (extension_read(&r, &e)) {
        if (e.type != EXTENSION_ADDRESS || slice_to_text(e.contents, said, sizeof(said)) != ST_OK)
            continue;
        host_of(said, said_host);
        if (strcmp(said_host, host) == 0 && is_hash(p, said, node))
            return true;
    }
    return false;
}
