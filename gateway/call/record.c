#include "gateway/call/record.h"

enum record_flag { FLAG_INWARD = 1, FLAG_CALLEE_REFRESHES = 2 };
enum leg_flag { FLAG_STREAM = 1, FLAG_UPDATE = 2 };
enum invite_flag { FLAG_AWAITS_ACK = 1, FLAG_FROM_CALLEE = 2 };
enum { RECORD_FLAGS = 3, LEG_FLAGS = 3, INVITE_FLAGS = 3 };

static void
write_text(struct writer *w, struct slice text)
{
    if (text.len > CALL_TEXT_BYTES_MAX && w->failed == ST_OK)
        w->failed = ST_RANGE;
    writer_opaque(w, text, 2);
}

static void
write_leg(struct writer *w, const struct call_record_leg *leg)
{
    writer_u8(w, leg->side);
    writer_u8(
        w, (uint8_t)((leg->is_stream ? FLAG_STREAM : 0) | (leg->knows_update ? FLAG_UPDATE : 0)));
    writer_u32(w, leg->cseq);
    writer_u32(w, leg->peer_cseq);
    write_text(w, leg->call_id);
    write_text(w, leg->local_tag);
    write_text(w, leg->remote_tag);
    write_text(w, leg->target);
    write_text(w, leg->route);
    write_text(w, leg->next_hop);
    write_text(w, leg->known);
    writer_opaque(w, leg->sdp, 2);
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
    unsigned flags = 0;

    flags |= record->is_inward ? FLAG_INWARD : 0;
    flags |= record->refresher == CALL_CALLEE ? FLAG_CALLEE_REFRESHES : 0;
    writer_u8(w, CALL_RECORD_VERSION);
    writer_u8(w, (uint8_t)flags);
    writer_u32(w, record->session_s);
    writer_u32(w, record->lifetime_s);
    writer_u64(w, record->since_wall_ms);
    write_text(w, record->token);
    write_text(w, record->from_uri);
    write_text(w, record->to_uri);
    write_text(w, record->far_overlay);
    write_invites(w, record);
    write_leg(w, &record->leg[CALL_CALLER]);
    write_leg(w, &record->leg[CALL_CALLEE]);
}

/** Texts go into header fields: nothing in them may end one. */
static struct slice
read_text(struct reader *r, bool is_needed)
{
    struct slice text = reader_opaque(r, 2);

    if (text.len > CALL_TEXT_BYTES_MAX || (is_needed && text.len == 0))
        reader_fail(r);
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 0x20 || text.data[i] == 0x7f)
            reader_fail(r);
    return text;
}

static void
read_leg(struct reader *r, struct call_record_leg *leg)
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
    leg->call_id = read_text(r, true);
    leg->local_tag = read_text(r, true);
    leg->remote_tag = read_text(r, false); /* RFC 2543 had none */
    leg->target = read_text(r, true);
    leg->route = read_text(r, false);
    leg->next_hop = read_text(r, false);
    leg->known = read_text(r, false);
    leg->sdp = reader_opaque(r, 2);
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
    record.refresher = flags & FLAG_CALLEE_REFRESHES ? CALL_CALLEE : CALL_CALLER;
    record.session_s = reader_u32(&r);
    record.lifetime_s = reader_u32(&r);
    record.since_wall_ms = reader_u64(&r);
    record.token = read_text(&r, true);
    record.from_uri = read_text(&r, true);
    record.to_uri = read_text(&r, true);
    record.far_overlay = read_text(&r, false);
    read_invites(&r, &record);
    read_leg(&r, &record.leg[CALL_CALLER]);
    read_leg(&r, &record.leg[CALL_CALLEE]);
    if (!reader_is_done(&r))
        return ST_MALFORMED;
    *ret = record;
    return ST_OK;
}
