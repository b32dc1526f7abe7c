/* More than a share of what all have: of the store, of routes, of fragments. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "peer-protocol/identity/identity.h"
#include "peer-protocol/message/body.h"
#include "peer-protocol/message/kind.h"
#include "peer-protocol/storage/signed_data.h"
#include "tests/e2e/intruder.h"

#define MONTH_S        2592000
#define VALUE_BYTES    200
#define BEGINNINGS_MAX 1000
#define ROUND_ENTRIES  90
#define NAME_BYTES     128

/* ---- the store ---- */

static void
write_binding(struct intruder *x, const char *name, uint8_t replica, struct writer *body)
{
    static const char filler[VALUE_BYTES] = {'x'};
    const struct kind *kind = kind_find(KIND_BINDING);
    struct id self = intruder_self(x), resource = intruder_resource_of(x, name);
    struct timespec now;
    struct stored_data d = {.lifetime_s = MONTH_S,
                            .key = slice_of(self.bytes, ID_BYTES),
                            .value = {true, slice_of(filler, sizeof(filler))}};
    struct store_kind_data k = {.kind = KIND_BINDING, .generation = replica};
    struct store_req request = {.resource = resource, .replica_number = replica};
    struct writer values, kinds;

    clock_gettime(CLOCK_REALTIME, &now);
    d.storage_time_ms = (uint64_t)now.tv_sec * 1000;
    writer_init(&values, MESSAGE_MAX_BYTES);
    writer_init(&kinds, MESSAGE_MAX_BYTES);
    intruder_must(signed_data_sign(&x->line.envelope.keys, &resource, kind, &d) == ST_OK,
                  "signature");
    stored_data_write(&values, kind->model, &d);
    k.values = writer_slice(&values);
    store_kind_data_write(&kinds, &k);
    request.kind_data = writer_slice(&kinds);
    writer_reset(body);
    store_req_write(body, &request);
    writer_done(&values);
    writer_done(&kinds);
}

/* Our own binding, as a copy, for a month, at whoever is at the other end of the link. */
void
intruder_store_copy(struct intruder *x)
{
    struct destination to = intruder_to_neighbour();
    struct writer body;

    if (!intruder_open_line(x))
        return;
    writer_init(&body, MESSAGE_MAX_BYTES);
    write_binding(x, x->under, 1, &body);
    intruder_ask(x, MESSAGE_STORE_REQ, writer_slice(&body), &to);
    writer_done(&body);
}

/* Stores under as many names, each where it belongs. */
void
intruder_fill(struct intruder *x)
{
    unsigned taken = 0, too_large = 0, other = 0;
    struct writer body, destinations, message;
    char name[NAME_BYTES];

    if (!intruder_open_line(x))
        return;
    writer_init(&body, MESSAGE_MAX_BYTES);
    writer_init(&destinations, UINT16_MAX);
    writer_init(&message, MESSAGE_MAX_BYTES);
    for (unsigned i = 0; i < x->count; i++) {
        struct error_body error = {0};
        struct message m;
        snprintf(name, sizeof(name), "fill%u@%s", i, x->under);
        struct id resource = intruder_resource_of(x, name);
        struct destination to = destination_resource(&resource);
        write_binding(x, name, 0, &body);
        writer_reset(&destinations);
        destination_write(&destinations, &to);
        uint64_t transaction = line_seal(&x->line, MESSAGE_STORE_REQ, writer_slice(&body),
                                         writer_slice(&destinations), &message);
        if (!line_frame(&x->line, writer_slice(&message)) ||
            line_await(&x->line, transaction, x->ms, &m) != LINE_ANSWERED) {
            other++;
            continue;
        }
        taken += m.contents.code == MESSAGE_STORE_ANS;
        if (m.contents.code != MESSAGE_ERROR)
            continue;
        if (error_body_read(m.contents.body, &error) == ST_OK && error.code == ERROR_DATA_TOO_LARGE)
            too_large++;
        else
            other++;
    }
    printf("took %u of %u, Data_Too_Large %u, other %u\n", taken, x->count, too_large, other);
    writer_done(&body);
    writer_done(&destinations);
    writer_done(&message);
}

/* ---- routes ---- */

/* A Ping that is to go round between its receiver and two others for ever: id= and other=. */
void
intruder_rounds(struct intruder *x)
{
    struct id node[2] = {x->somebody, *identity_node(x->other)};
    struct writer body, destinations, message;
    uint64_t transaction;

    if (!intruder_open_line(x))
        return;
    writer_init(&body, UINT16_MAX);
    writer_init(&destinations, UINT16_MAX);
    writer_init(&message, MESSAGE_MAX_BYTES);
    ping_req_write(&body, &(struct ping_req){.padding = slice_of("", 0)});
    for (unsigned i = 0; i < ROUND_ENTRIES; i++) {
        struct destination d = destination_node(&node[i % 2]);
        destination_write(&destinations, &d);
    }
    transaction = line_seal(&x->line, MESSAGE_PING_REQ, writer_slice(&body),
                            writer_slice(&destinations), &message);
    if (line_frame(&x->line, writer_slice(&message)))
        intruder_await(x, transaction);
    else
        intruder_tell_closed(x, "closed");
    writer_done(&body);
    writer_done(&destinations);
    writer_done(&message);
}

/* ---- fragments ---- */

struct sent {
    struct line *line;
    unsigned count;
    unsigned most; /* so many of them go out */
};

static void
send_fragment(void *ctx, struct slice fragment)
{
    struct sent *s = ctx;

    if (s->count++ < s->most)
        line_frame(s->line, fragment);
}

static uint64_t
send_in_fragments(struct line *line, unsigned most)
{
    static const char padding[4000] = {0};
    struct destination to = intruder_to_neighbour();
    struct writer body, destinations, message;
    struct sent s = {.line = line, .most = most};
    uint64_t transaction;

    writer_init(&body, UINT16_MAX);
    writer_init(&destinations, UINT16_MAX);
    writer_init(&message, MESSAGE_MAX_BYTES);
    ping_req_write(&body, &(struct ping_req){.padding = slice_of(padding, sizeof(padding))});
    destination_write(&destinations, &to);
    transaction = line_seal(line, MESSAGE_PING_REQ, writer_slice(&body),
                            writer_slice(&destinations), &message);
    intruder_must(fragment_split(writer_slice(&message), 2000, send_fragment, &s) == ST_OK,
                  "fragments");
    writer_done(&body);
    writer_done(&destinations);
    writer_done(&message);
    return transaction;
}

/* Beginnings without an end, then a whole Ping in fragments over another link, and over this one.
 */
void
intruder_beginnings(struct intruder *x)
{
    struct line other = x->line;

    if (!intruder_open_line(x))
        return;
    for (unsigned i = 0; i < x->count && i < BEGINNINGS_MAX; i++)
        send_in_fragments(&x->line, 1);
    line_init(&other, x->other, x->under, x->line.from, x->line.to);
    intruder_must(line_open(&other), other.reason);
    for (unsigned i = 0; i < 2; i++) {
        struct line *line = i == 0 ? &other : &x->line;
        struct message m;
        uint64_t transaction = send_in_fragments(line, BEGINNINGS_MAX);
        bool is_answered = line_await(line, transaction, x->ms, &m) == LINE_ANSWERED;
        printf("%s link: %s\n", i == 0 ? "other" : "same", is_answered ? "answer" : "silent");
    }
    line_close(&other);
}
