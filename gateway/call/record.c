#include "gateway/call/record.h"

enum record_flag {
    FLAG_INWARD = 1,
    FLAG_CALLEE_REFRESHES = 2,
    FLAG_EARLY = 4,
    FLAG_SUBSCRIPTION = 8
};
enum leg_flag { FLAG_STREAM = 1, FLAG_UPDATE = 2 };
enum invite_flag { FLAG_AWAITS_ACK = 1, FLAG_FROM_CALLEE = 2 };
enum { RECORD_FLAGS = 15, LEG_FLAGS = 3, INVITE_FLAGS = 3 };

enum { TEXTS_MAX = 18 }; /* four of the call, seven of each leg */

/** The texts of a record, each once; they are numbered from 1, and 0 is the empty one. */
struct texts {
    unsigned count;
    struct slice text[TEXTS_MAX];
};

static void
add_text(struct texts *t, struct slice text)
{
    for (unsigned i = 0; i < t->count; i++)
        if (slice_equal(t->text[i], text))
            return;
    if (text.len > 0)
        t->text[t->count++] = text;
}

static void
add_leg(struct texts *t, const struct call_record_leg *leg)
{
    add_text(t, leg->call_id);
    add_text(t, leg->local_tag);
    add_text(t, leg->remote_tag);
    add_text(t, leg->target);
    add_text(t, leg->route);
    add_text(t, leg->next_hop);
    add_text(t, leg->known);
}

/** Texts go into header fields: nothing in them may end one. */
static bool
is_text(struct slice text)
{
    for (size_t n = 0; n < text.len; n++)
        if (text.data[n] < 0x20 || text.data[n] == 0x7f)
            return false;
    return text.len > 0 && text.len <= CALL_TEXT_BYTES_MAX;
}

static void
refuse_text(struct writer *w)
{
    if (w->failed == ST_OK)
        w->failed = ST_RANGE;
}

static void
write_texts(struct writer *w, const struct texts *t)
{
    writer_u8(w, (uint8_t)t->count);
    for (unsigned i = 0; i < t->count; i++) {
        if (!is_text(t->text[i]))
            refuse_text(w);
        writer_opaque(w, t->text[i], 2);
    }
}

/** Its number. */
static void
write_text(struct writer *w, const struct texts *t, struct slice text, bool is_needed)
{
    unsigned number = 0;

    if (is_needed && text.len == 0)
        refuse_text(w);
    for (unsigned i = 0; i < t->count; i++)
        if (slice_equal(t->text[i], text))
            number = i + 1;
    writer_u8(w, (uint8_t)number);
}

static void
write_leg(struct writer *w, const struct texts *t, const struct call_record_leg *leg)
{
    writer_u8(w, leg->side);
    writer_u8(
        w, (uint8_t)((leg->is_stream ? FLAG_STREAM : 0) | (leg->knows_update ? FLAG_UPDATE : 0)));
    writer_u32(w, leg->cseq);
    writer_u32(w, leg->peer_cseq);
    write_text(w, t, leg->call_id, true);
    write_text(w, t, leg->local_tag, true);
    write_text(w, t, leg->remote_tag, false);
    write_text(w, t, leg->target, true);
    write_text(w, t, leg->route, false);
    write_text(w, t, leg->next_hop, false);
    write_text(w, t, leg->known, false);
    writer_opaque(w, leg->sdp, 4);
}

static void
write_invites(struct writer *w, const struct call_record *record)
{
    writer_u8(w, (uint8_t)record->invites);
    for (unsigned i = 0; i < record->invites; i++) {
        const struct call_record_invite *at = &record->invite[i];

        writer_u8(w, (uint8_t)((at->awaits_ack ? FLAG_AWAITS_ACK : 0) |
                               (at->from == CALL_CALLEE ? FLAG_FROM_CALLEE : 0)));
        writer_u32(w, at->in_cseq);
        writer_u32(w, at->out_cseq);
    }
}

void
call_record_write(struct writer *w, const struct call_record *record)
{
    struct texts texts = {.count = 0};
    unsigned flags = 0;

    add_text(&texts, record->token);
    add_text(&texts, record->from_uri);
    add_text(&texts, record->to_uri);
    add_text(&texts, record->far_overlay);
    add_leg(&texts, &record->leg[CALL_CALLER]);
    add_leg(&texts, &record->leg[CALL_CALLEE]);
    flags |= record->is_inward ? FLAG_INWARD : 0;
    flags |= record->refresher == CALL_CALLEE ? FLAG_CALLEE_REFRESHES : 0;
    flags |= record->is_early ? FLAG_EARLY : 0;
    flags |= record->is_subscription ? FLAG_SUBSCRIPTION : 0;
    writer_u8(w, CALL_RECORD_VERSION);
    writer_u8(w, (uint8_t)flags);
    writer_u32(w, record->session_s);
    writer_u32(w, record->lifetime_s);
    writer_u64(w, record->since_wall_ms);
    write_texts(w, &texts);
    write_text(w, &texts, record->token, true);
    write_text(w, &texts, record->from_uri, true);
    write_text(w, &texts, record->to_uri, true);
    write_text(w, &texts, record->far_overlay, false);
    write_invites(w, record);
    write_leg(w, &texts, &record->leg[CALL_CALLER]);
    write_leg(w, &texts, &record->leg[CALL_CALLEE]);
}

static void
read_texts(struct reader *r, struct texts *ret)
{
    ret->count = reader_u8(r);
    if (ret->count > TEXTS_MAX)
        reader_fail(r);
    for (unsigned i = 0; i < ret->count && !r->failed; i++) {
        struct slice text = reader_opaque(r, 2);

        if (!is_text(text))
            reader_fail(r);
        ret->text[i] = text;
    }
}

static struct slice
read_text(struct reader *r, const struct texts *t, bool is_needed)
{
    unsigned number = reader_u8(r);

    if (number > t->count || (is_needed && number == 0))
        reader_fail(r);
    return r->failed || number == 0 ? slice_of(NULL, 0) : t->text[number - 1];
}

static void
read_leg(struct reader *r, const struct texts *t, struct call_record_leg *leg)
{
    unsigned flags;

    leg->side = reader_u8(r);
    flags = reader_u8(r);
    if (leg->side > CALL_SIDE_GATEWAYS || (flags & ~(unsigned)LEG_FLAGS))
        reader_fail(r);
    leg->is_stream = flags & FLAG_STREAM;
    leg->knows_update = flags & FLAG_UPDATE;
    leg->cseq = reader_u32(r);
    leg->peer_cseq = reader_u32(r);
    leg->call_id = read_text(r, t, true);
    leg->local_tag = read_text(r, t, true);
    leg->remote_tag = read_text(r, t, false); /* RFC 2543 had none */
    leg->target = read_text(r, t, true);
    leg->route = read_text(r, t, false);
    leg->next_hop = read_text(r, t, false);
    leg->known = read_text(r, t, false);
    leg->sdp = reader_opaque(r, 4);
}

static void
read_invites(struct reader *r, struct call_record *ret)
{
    ret->invites = reader_u8(r);
    if (ret->invites > CALL_INVITES_MAX)
        reader_fail(r);
    for (unsigned i = 0; i < ret->invites && !r->failed; i++) {
        unsigned flags = reader_u8(r);

        if (flags & ~(unsigned)INVITE_FLAGS)
            reader_fail(r);
        ret->invite[i].awaits_ack = flags & FLAG_AWAITS_ACK;
        ret->invite[i].from = flags & FLAG_FROM_CALLEE ? CALL_CALLEE : CALL_CALLER;
        ret->invite[i].in_cseq = reader_u32(r);
        ret->invite[i].out_cseq = reader_u32(r);
    }
}

enum status
call_record_read(struct slice in, struct call_record *ret)
{
    struct call_record record = {.is_inward = false};
    struct texts texts = {.count = 0};
    struct reader r;
    unsigned flags;

    if (in.len > CALL_RECORD_BYTES_MAX)
        return ST_TOO_LARGE;
    reader_init(&r, in);
    if (reader_u8(&r) != CALL_RECORD_VERSION)
        return r.failed ? ST_MALFORMED : ST_UNSUPPORTED;
    flags = reader_u8(&r);
    if (flags & ~(unsigned)RECORD_FLAGS)
        reader_fail(&r);
    record.is_inward = flags & FLAG_INWARD;
    record.is_early = flags & FLAG_EARLY;
    record.is_subscription = flags & FLAG_SUBSCRIPTION;
    record.refresher = flags & FLAG_CALLEE_REFRESHES ? CALL_CALLEE : CALL_CALLER;
    record.session_s = reader_u32(&r);
    record.lifetime_s = reader_u32(&r);
    record.since_wall_ms = reader_u64(&r);
    read_texts(&r, &texts);
    record.token = read_text(&r, &texts, true);
    record.from_uri = read_text(&r, &texts, true);
    record.to_uri = read_text(&r, &texts, true);
    record.far_overlay = read_text(&r, &texts, false);
    read_invites(&r, &record);
    read_leg(&r, &texts, &record.leg[CALL_CALLER]);
    read_leg(&r, &texts, &record.leg[CALL_CALLEE]);
    if (!reader_is_done(&r) || (record.is_early && record.invites != 1) ||
        (record.is_subscription && record.invites > 0))
        return ST_MALFORMED;
    *ret = record;
    return ST_OK;
}
