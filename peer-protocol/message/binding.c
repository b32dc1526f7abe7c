/* KIND_BINDING: docs/protocol.md. */
#include "peer-protocol/message/binding.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "peer-protocol/message/wire.h"

#define Q_MAX 1000 /* thousandths, RFC 3261 section 20.10 */

/* Texts go behind the record, one after the other. */
struct tail {
    char *at;
};

/* ---- memory
 * ---------------------------------------------------------------------------------------- */

/* Room for the record, its arrays, and @text_bytes of text. */
static struct binding_record *
record_new(uint8_t contact_count, uint8_t superseded_count, size_t text_bytes, struct tail *ret)
{
    size_t contacts = contact_count * sizeof(struct binding_contact);
    size_t superseded = superseded_count * sizeof(struct binding_superseded);
    struct binding_record *b = malloc(sizeof(*b) + contacts + superseded + text_bytes);

    if (!b)
        return NULL;
    memset(b, 0, sizeof(*b) + contacts + superseded);
    b->contact_count = contact_count;
    b->superseded_count = superseded_count;
    b->contact = (struct binding_contact *)(b + 1);
    b->superseded = (struct binding_superseded *)(b->contact + contact_count);
    ret->at = (char *)(b->superseded + superseded_count);
    return b;
}

void
binding_record_free(struct binding_record *b)
{
    free(b);
}

static const char *
keep(struct tail *t, const char *text, size_t len)
{
    char *kept = t->at;

    if (len > 0)
        memcpy(kept, text, len);
    kept[len] = '\0';
    t->at += len + 1;
    return kept;
}

static const char *
keep_text(struct tail *t, const char *text)
{
    return keep(t, text, strlen(text));
}

static size_t
text_bytes(const struct binding_record *b)
{
    size_t bytes = strlen(b->aor) + strlen(b->path) + 2;

    for (size_t i = 0; i < b->contact_count; i++)
        bytes += strlen(b->contact[i].uri) + strlen(b->contact[i].call_id) +
                 strlen(b->contact[i].instance) + strlen(b->contact[i].token) + 4;
    for (size_t i = 0; i < b->superseded_count; i++)
        bytes += strlen(b->superseded[i].token) + strlen(b->superseded[i].call_id) + 2;
    return bytes;
}

struct binding_record *
binding_record_copy(const struct binding_record *b)
{
    struct tail t;
    struct binding_record *copy =
        record_new(b->contact_count, b->superseded_count, text_bytes(b), &t);

    if (!copy)
        return NULL;
    copy->aor = keep_text(&t, b->aor);
    copy->path = keep_text(&t, b->path);
    for (size_t i = 0; i < b->contact_count; i++) {
        struct binding_contact *c = &copy->contact[i];

        *c = b->contact[i];
        c->uri = keep_text(&t, c->uri);
        c->call_id = keep_text(&t, c->call_id);
        c->instance = keep_text(&t, c->instance);
        c->token = keep_text(&t, c->token);
    }
    for (size_t i = 0; i < b->superseded_count; i++) {
        struct binding_superseded *s = &copy->superseded[i];

        *s = b->superseded[i];
        s->token = keep_text(&t, s->token);
        s->call_id = keep_text(&t, s->call_id);
    }
    return copy;
}

/* ---- the wire
 * -------------------------------------------------------------------------------------- */

static const char *
text_read(struct reader *r, struct tail *t, unsigned prefix, size_t room_bytes)
{
    struct slice text = wire_slice_read(r, prefix);

    if (text.len >= room_bytes)
        reader_fail(r);
    return r->failed ? keep(t, "", 0) : keep(t, (const char *)text.data, text.len);
}

static void
contact_read(struct reader *r, struct tail *t, struct binding_contact *c)
{
    c->uri = text_read(r, t, 2, PHONE_URI_BYTES);
    c->q_thousandths = wire_number_read(r, Q_MAX);
    c->expires_at_wall_ms = reader_u64(r);
    c->registered_at_wall_ms = reader_u64(r);
    c->call_id = text_read(r, t, 1, CALL_ID_BYTES);
    c->cseq = reader_u32(r);
    c->instance = text_read(r, t, 1, INSTANCE_BYTES);
    c->reg_id = reader_u32(r);
    c->token = text_read(r, t, 1, BINDING_TOKEN_BYTES);
    c->is_on_connection = reader_bool(r);
    c->is_by_uri = reader_bool(r);
}

static void
contact_write(struct writer *w, const struct binding_contact *c)
{
    writer_opaque(w, slice_text(c->uri), 2);
    writer_u16(w, c->q_thousandths);
    writer_u64(w, c->expires_at_wall_ms);
    writer_u64(w, c->registered_at_wall_ms);
    wire_text_write(w, c->call_id, CALL_ID_BYTES);
    writer_u32(w, c->cseq);
    wire_text_write(w, c->instance, INSTANCE_BYTES);
    writer_u32(w, c->reg_id);
    wire_text_write(w, c->token, BINDING_TOKEN_BYTES);
    writer_bool(w, c->is_on_connection);
    writer_bool(w, c->is_by_uri);
}

static void
superseded_read(struct reader *r, struct tail *t, struct binding_superseded *s)
{
    s->token = text_read(r, t, 1, BINDING_TOKEN_BYTES);
    s->call_id = text_read(r, t, 1, CALL_ID_BYTES);
    s->cseq = reader_u32(r);
    s->at_wall_ms = reader_u64(r);
    s->expires_at_wall_ms = reader_u64(r);
}

static void
superseded_write(struct writer *w, const struct binding_superseded *s)
{
    wire_text_write(w, s->token, BINDING_TOKEN_BYTES);
    wire_text_write(w, s->call_id, CALL_ID_BYTES);
    writer_u32(w, s->cseq);
    writer_u64(w, s->at_wall_ms);
    writer_u64(w, s->expires_at_wall_ms);
}

enum status
binding_record_read(struct slice in, struct binding_record **ret)
{
    struct binding_record *b;
    struct reader r;
    struct tail t;
    uint8_t version, contacts, superseded;

    reader_init(&r, in);
    version = reader_u8(&r);
    contacts = reader_u8(&r);
    superseded = reader_u8(&r);
    if (!r.failed && version != BINDING_VERSION)
        return ST_UNSUPPORTED;
    if (r.failed || contacts > BINDING_CONTACTS_MAX || superseded > BINDING_SUPERSEDED_MAX)
        return ST_MALFORMED;
    /* each text has a byte or two for its length on the wire and one for its end here; those of a
     * record that breaks off are empty */
    b = record_new(contacts, superseded, in.len + 2 + contacts * 4u + superseded * 2u, &t);
    if (!b)
        return ST_NOMEM;
    b->aor = text_read(&r, &t, 1, AOR_BYTES);
    b->path = text_read(&r, &t, 1, SIP_URI_BYTES);
    for (uint8_t i = 0; i < contacts; i++)
        contact_read(&r, &t, &b->contact[i]);
    for (uint8_t i = 0; i < superseded; i++)
        superseded_read(&r, &t, &b->superseded[i]);
    if (!reader_is_done(&r)) {
        binding_record_free(b);
        return ST_MALFORMED;
    }
    *ret = b;
    return ST_OK;
}

void
binding_record_write(struct writer *w, const struct binding_record *b)
{
    assert(b->contact_count <= BINDING_CONTACTS_MAX);
    assert(b->superseded_count <= BINDING_SUPERSEDED_MAX);
    writer_u8(w, BINDING_VERSION);
    writer_u8(w, b->contact_count);
    writer_u8(w, b->superseded_count);
    wire_text_write(w, b->aor, AOR_BYTES);
    wire_text_write(w, b->path, SIP_URI_BYTES);
    for (uint8_t i = 0; i < b->contact_count; i++)
        contact_write(w, &b->contact[i]);
    for (uint8_t i = 0; i < b->superseded_count; i++)
        superseded_write(w, &b->superseded[i]);
}

size_t
binding_record_bytes(const struct binding_record *b)
{
    /* what is no text: 3 bytes in front, 28 and a longer length for a contact, 20 for a note; a
     * text has a byte of length as it has its zero in text_bytes() */
    return 3 + text_bytes(b) + b->contact_count * 29u + b->superseded_count * 20u;
}

/* ---- time
 * ---------------------------------------------------------------------------------------------- */

#define CLOCKS_AGREE_MS 2000 /* a lifetime is in whole seconds */

static uint64_t
less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* What others stored may be any number. */
static uint64_t
later(uint64_t at_ms, uint64_t by_ms)
{
    return by_ms < UINT64_MAX - at_ms ? at_ms + by_ms : UINT64_MAX;
}

static uint64_t
longest_ms(const struct binding_record *b)
{
    uint64_t longest = 0;

    for (uint8_t i = 0; i < b->contact_count; i++)
        if (b->contact[i].expires_at_wall_ms > longest)
            longest = b->contact[i].expires_at_wall_ms;
    for (uint8_t i = 0; i < b->superseded_count; i++)
        if (b->superseded[i].expires_at_wall_ms > longest)
            longest = b->superseded[i].expires_at_wall_ms;
    return longest;
}

uint32_t
binding_record_store(struct binding_record *b, uint64_t now_wall_ms)
{
    uint64_t longest_s;

    for (uint8_t i = 0; i < b->contact_count; i++) {
        struct binding_contact *c = &b->contact[i];

        c->expires_at_wall_ms = less(c->expires_at_wall_ms, now_wall_ms);
        c->registered_at_wall_ms = less(now_wall_ms, c->registered_at_wall_ms);
    }
    for (uint8_t i = 0; i < b->superseded_count; i++) {
        struct binding_superseded *s = &b->superseded[i];

        s->expires_at_wall_ms = less(s->expires_at_wall_ms, now_wall_ms);
        s->at_wall_ms = less(now_wall_ms, s->at_wall_ms);
    }
    longest_s = (longest_ms(b) + 999) / 1000;
    return longest_s > UINT32_MAX ? UINT32_MAX : (uint32_t)longest_s;
}

/* Where the clocks agree they say it to the millisecond, which orders what happened within a
 * second; else what is left of the lifetime does. */
static uint64_t
age_ms(const struct binding_record *b, uint64_t storage_time_ms, uint32_t left_s,
       uint64_t now_wall_ms)
{
    uint64_t by_lifetime_ms = less(longest_ms(b), left_s * 1000ull);
    uint64_t by_clock_ms = less(now_wall_ms, storage_time_ms);
    uint64_t apart_ms =
        by_clock_ms > by_lifetime_ms ? by_clock_ms - by_lifetime_ms : by_lifetime_ms - by_clock_ms;
    bool is_ahead = storage_time_ms > now_wall_ms + CLOCKS_AGREE_MS;

    return apart_ms <= CLOCKS_AGREE_MS && !is_ahead ? by_clock_ms : by_lifetime_ms;
}

void
binding_record_fetched(struct binding_record *b, uint64_t storage_time_ms, uint32_t left_s,
                       uint64_t now_wall_ms)
{
    uint64_t stored_ms = less(now_wall_ms, age_ms(b, storage_time_ms, left_s, now_wall_ms));

    for (uint8_t i = 0; i < b->contact_count; i++) {
        struct binding_contact *c = &b->contact[i];

        c->expires_at_wall_ms = later(stored_ms, c->expires_at_wall_ms);
        c->registered_at_wall_ms = less(stored_ms, c->registered_at_wall_ms);
    }
    for (uint8_t i = 0; i < b->superseded_count; i++) {
        struct binding_superseded *s = &b->superseded[i];

        s->expires_at_wall_ms = later(stored_ms, s->expires_at_wall_ms);
        s->at_wall_ms = less(stored_ms, s->at_wall_ms);
    }
}

/* ---- what it means
 * --------------------------------------------------------------------------------- */

bool
binding_path(const char *peer_uri, const char *token, char ret_path[SIP_URI_BYTES])
{
    const char *host = strchr(peer_uri, ':');
    int len;

    if (!host)
        return false;
    len = snprintf(ret_path, SIP_URI_BYTES, "%.*s:%s%s%s", (int)(host - peer_uri), peer_uri, token,
                   token[0] ? "@" : "", host + 1);
    return len > 0 && len < SIP_URI_BYTES;
}

bool
binding_is_superseded(const struct binding_record *by, const struct binding_contact *c)
{
    for (size_t i = 0; i < by->superseded_count; i++) {
        const struct binding_superseded *s = &by->superseded[i];

        if (strcmp(s->token, "*") != 0 && strcmp(s->token, c->token) != 0)
            continue;
        /* RFC 3261 section 10.3 item 7: CSeq orders the REGISTERs of one Call-ID */
        if (strcmp(s->call_id, c->call_id) == 0 ? c->cseq <= s->cseq
                                                : c->registered_at_wall_ms <= s->at_wall_ms)
            return true;
    }
    return false;
}

bool
binding_is_live(struct binding_record *const *record, size_t count, size_t r, size_t i,
                uint64_t wall_ms)
{
    const struct binding_contact *c = &record[r]->contact[i];

    if (c->expires_at_wall_ms <= wall_ms)
        return false;
    for (size_t k = 0; k < count; k++)
        if (k != r && binding_is_superseded(record[k], c))
            return false;
    return true;
}

uint64_t
binding_phone(const struct binding_contact *c)
{
    return c->instance[0] && c->reg_id ? map_hash(1, slice_text(c->instance)) | 1 : 0;
}

static int
compare_places(const void *a, const void *b)
{
    const struct binding_place *one = a;
    const struct binding_place *two = b;

    return one->at_wall_ms < two->at_wall_ms ? 1 : one->at_wall_ms > two->at_wall_ms ? -1 : 0;
}

size_t
binding_places(struct binding_record *const *record, size_t count, uint64_t wall_ms,
               struct binding_place *ret)
{
    size_t places = 0;

    for (size_t r = 0; r < count && r <= UINT8_MAX; r++)
        for (size_t i = 0; i < record[r]->contact_count; i++)
            if (binding_is_live(record, count, r, i, wall_ms))
                ret[places++] = (struct binding_place){record[r]->contact[i].registered_at_wall_ms,
                                                       (uint8_t)r, (uint8_t)i};
    qsort(ret, places, sizeof(*ret), compare_places);
    return places;
}
