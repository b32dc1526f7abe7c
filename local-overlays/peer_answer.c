/* Answers: sealed once, sent as often as they are asked for. */
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_internal.h"

void
peer_send_answer(struct peer *p, const struct answer_to *a, struct slice sealed)
{
    struct forwarding h = envelope_header(&p->envelope, a->transaction_id);
    struct writer message;
    const struct link *l;
    struct id hop;
    enum status st;

    h.destinations = a->destinations;
    h.options = a->options;
    writer_init(&message, p->envelope.max_bytes);
    message_write(&message, &h, sealed, slice_of(NULL, 0));
    if (message.failed == ST_OK) {
        st = peer_first_hop(p, writer_slice(&message), &hop);
        l = st == ST_OK ? peer_link_find(p, &hop) : NULL;
        if (st == ST_EXISTS)
            peer_send_to_self(p, writer_slice(&message));
        else if (st == ST_OK) /* lost: the requester asks again, with its certificate */
            (void)(a->is_familiar && !(l && l->is_forgetful)
                       ? peer_send_straight(p, &hop, writer_slice(&message))
                       : peer_send_to(p, &hop, writer_slice(&message)));
    }
    writer_done(&message);
}

static void
reply(struct peer *p, const struct answer_to *a, uint16_t code, struct slice body,
      struct slice certificates, struct slice extensions)
{
    struct envelope_letter letter = {.transaction_id = a->transaction_id,
                                     .code = code,
                                     .body = body,
                                     .extensions = extensions,
                                     .certificates = certificates};
    struct slice sealed;

    if (envelope_seal(&p->envelope, &letter, &sealed) != ST_OK)
        return;
    if (code != MESSAGE_ERROR && a->max_response_length > 0 &&
        sealed.len + MESSAGE_HEADER_BYTES + a->destinations.len > a->max_response_length) {
        slice_free(&sealed);
        peer_reply_error(p, a, ERROR_RESPONSE_TOO_LARGE, slice_of(NULL, 0));
        return;
    }
    if (a->is_remembered) {
        bool is_bare = code != MESSAGE_ERROR && body.len == 0 && certificates.len == 0;
        duplicates_answer(p->duplicates, &a->from, a->transaction_id,
                          is_bare ? slice_of(NULL, 0) : sealed);
    }
    peer_count(p->counters.sent, code);
    peer_send_answer(p, a, sealed);
    slice_free(&sealed);
}

void
peer_reply_body(struct peer *p, const struct answer_to *a, struct slice body,
                struct slice certificates)
{
    reply(p, a, (uint16_t)(a->code + 1), body, certificates, slice_of(NULL, 0));
}

void
peer_reply_extended(struct peer *p, const struct answer_to *a, struct slice body,
                    struct slice extensions)
{
    reply(p, a, (uint16_t)(a->code + 1), body, slice_of(NULL, 0), extensions);
}

void
peer_reply_error(struct peer *p, const struct answer_to *a, uint16_t code, struct slice info)
{
    struct error_body error = {.code = code, .info = info};
    struct writer body;

    writer_init(&body, p->envelope.max_bytes);
    error_body_write(&body, &error);
    reply(p, a, MESSAGE_ERROR, writer_slice(&body), slice_of(NULL, 0), slice_of(NULL, 0));
    writer_done(&body);
}

void
peer_reply_text(struct peer *p, const struct answer_to *a, enum status st, const char *text)
{
    peer_reply_error(p, a, error_code_of(st), slice_text(text));
}

void
peer_answer_free(struct answer_to *a)
{
    list_remove(&a->at);
    slice_free(&a->destinations);
    slice_free(&a->options);
    free(a);
}

uint64_t
peer_put_off(struct peer *p, const struct answer_to *a)
{
    struct answer_to *kept;
    size_t many = 0;

    list_each(at, &p->answers) many++;
    kept = many < PEER_ANSWERS_MAX ? calloc(1, sizeof(*kept)) : NULL;
    if (!kept)
        return 0;
    *kept = *a;
    kept->destinations = slice_of(NULL, 0);
    kept->options = slice_of(NULL, 0);
    kept->handle = ++p->last_handle;
    kept->deadline_ms = p->now.mono_ms + DUPLICATES_LIFETIME_MS;
    list_init(&kept->at);
    if (slice_copy(a->destinations, &kept->destinations) != ST_OK ||
        slice_copy(a->options, &kept->options) != ST_OK) {
        peer_answer_free(kept);
        return 0;
    }
    list_append(&p->answers, &kept->at);
    return kept->handle;
}

struct answer_to *
peer_answer_find(struct peer *p, uint64_t handle)
{
    list_each(at, &p->answers)
    {
        struct answer_to *a = list_entry(at, struct answer_to, at);
        if (a->handle == handle)
            return a;
    }
    return NULL;
}

void
peer_answers_expire(struct peer *p)
{
    list_each(at, &p->answers)
    {
        struct answer_to *a = list_entry(at, struct answer_to, at);
        if (a->deadline_ms > p->now.mono_ms)
            return;
        peer_answer_free(a);
    }
}

void
peer_answer(struct peer *p, struct moment now, uint64_t handle, enum status st, struct slice body)
{
    struct answer_to *a;
    struct writer w;

    peer_enter(p, now);
    a = peer_answer_find(p, handle);
    if (a && st != ST_OK) {
        peer_reply_error(p, a, error_code_of(st), body);
    } else if (a) {
        writer_init(&w, p->envelope.max_bytes);
        private_write(&w, a->subtype, body);
        peer_reply_body(p, a, writer_slice(&w), slice_of(NULL, 0));
        writer_done(&w);
    }
    if (a)
        peer_answer_free(a);
    peer_leave_asked(p);
}
