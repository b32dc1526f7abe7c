/* Links and frames that are not what they should be. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "peer-protocol/message/frame.h"
#include "tests/conformance/samples.h"
#include "tests/e2e/intruder.h"

#define HALF_OPEN_MAX 1000
#define MUTATED_BYTES (1u << 17)

/* ---- links -------------------------------------------------------------------------------------
 */

/* As it should be: to see that the door is open to those who knock. */
void
intruder_ping(struct intruder *x)
{
    struct destination to = intruder_to_neighbour();
    struct writer body;

    if (!intruder_open_line(x))
        return;
    writer_init(&body, UINT16_MAX);
    ping_req_write(&body, &(struct ping_req){.padding = slice_of("", 0)});
    intruder_ask(x, MESSAGE_PING_REQ, writer_slice(&body), &to);
    writer_done(&body);
}

void
intruder_no_certificate(struct intruder *x)
{
    x->line.anonymous = SSL_CTX_new(TLS_client_method());
    intruder_must(x->line.anonymous != NULL, "TLS");
    intruder_ping(x);
    SSL_CTX_free(x->line.anonymous);
}

void
intruder_no_tls(struct intruder *x)
{
    static const char text[] = "OPTIONS sip:127.0.0.1 SIP/2.0\r\n\r\n";
    char input[256];

    if (!line_connect(&x->line)) {
        intruder_tell_closed(x, "refused");
        return;
    }
    intruder_must(write(x->line.fd, text, sizeof(text) - 1) > 0, "write");
    while (read(x->line.fd, input, sizeof(input)) > 0)
        ;
    puts("closed: end of stream");
}

static size_t
count_closed(const int *fd, size_t count)
{
    size_t closed = 0;

    for (size_t i = 0; i < count; i++) {
        struct pollfd p = {.fd = fd[i], .events = POLLIN | POLLRDHUP};
        closed += poll(&p, 1, 0) == 1;
    }
    return closed;
}

/* Connections that say nothing: who has a certificate must still get in, and they must end. */
void
intruder_half_open(struct intruder *x)
{
    static int fd[HALF_OPEN_MAX];
    size_t count = x->count < HALF_OPEN_MAX ? x->count : HALF_OPEN_MAX;
    struct line strangers = x->line;

    for (size_t i = 0; i < count; i++) {
        strangers.fd = -1;
        intruder_must(line_connect(&strangers), strangers.reason);
        fd[i] = strangers.fd;
    }
    intruder_ping(x);
    for (int waited_ms = 0; count_closed(fd, count) < count && waited_ms < x->ms; waited_ms += 100)
        poll(NULL, 0, 100);
    printf("ended %zu of %zu\n", count_closed(fd, count), count);
    for (size_t i = 0; i < count; i++)
        close(fd[i]);
}

static void
tell_if_closed(struct intruder *x)
{
    if (!x->line.ssl || line_wait_closed(&x->line, x->ms))
        intruder_tell_closed(x, "closed");
    else
        puts("open");
}

/* A frame that says it is longer than any may be. */
void
intruder_oversize(struct intruder *x)
{
    static const uint8_t head[] = {FRAME_DATA, 0, 0, 0, 0, 0xff, 0xff, 0xff};

    if (!intruder_open_line(x))
        return;
    line_write(&x->line, slice_of(head, sizeof(head)));
    tell_if_closed(x);
}

void
intruder_unknown_frame(struct intruder *x)
{
    static const uint8_t head[] = {7, 0, 0, 0, 0, 0, 0, 0};

    if (!intruder_open_line(x))
        return;
    line_write(&x->line, slice_of(head, sizeof(head)));
    tell_if_closed(x);
}

void
intruder_unsent_acknowledged(struct intruder *x)
{
    struct writer w;

    if (!intruder_open_line(x))
        return;
    writer_init(&w, FRAME_ACK_BYTES);
    frame_write_ack(&w, 1000000, UINT32_MAX);
    line_write(&x->line, writer_slice(&w));
    tell_if_closed(x);
    writer_done(&w);
}

/* Asks and asks, and reads no answer. */
void
intruder_deaf(struct intruder *x)
{
    struct destination to = intruder_to_neighbour();
    struct writer destinations, message;
    unsigned sent = 0;

    if (!intruder_open_line(x))
        return;
    writer_init(&destinations, UINT16_MAX);
    writer_init(&message, MESSAGE_MAX_BYTES);
    destination_write(&destinations, &to);
    while (sent < x->count) {
        struct writer body;
        writer_init(&body, UINT16_MAX);
        ping_req_write(&body, &(struct ping_req){.padding = slice_of("", 0)});
        line_seal(&x->line, MESSAGE_PING_REQ, writer_slice(&body), writer_slice(&destinations),
                  &message);
        writer_done(&body);
        if (!line_frame(&x->line, writer_slice(&message)))
            break;
        sent++;
    }
    printf("closed after %s\n", sent < x->count ? "some" : "none");
    writer_done(&destinations);
    writer_done(&message);
}

/* ---- noise -------------------------------------------------------------------------------------
 */

/* To whoever is at the other end, to any resource, or through somebody to one. */
static void
write_destinations(struct intruder *x, struct writer *w)
{
    struct id anywhere;
    struct destination to = intruder_to_neighbour();
    size_t way = intruder_random(x, id_is_zero(&x->somebody) ? 2 : 4);

    for (size_t i = 0; i < ID_BYTES; i++)
        anywhere.bytes[i] = (uint8_t)intruder_random(x, 256);
    if (way >= 2) {
        to = destination_node(&x->somebody);
        destination_write(w, &to);
    }
    if (way % 2 == 1)
        to = destination_resource(&anywhere);
    if (way != 2)
        destination_write(w, &to);
}

/* A correct example of a message, signed by us. */
static void
example(struct intruder *x, bool is_body_mutated, struct writer *ret)
{
    const struct sample *s = &samples[intruder_random(x, sample_count)];
    struct writer destinations, body;

    writer_init(&destinations, UINT16_MAX);
    writer_init(&body, MESSAGE_MAX_BYTES);
    write_destinations(x, &destinations);
    s->body(&body);
    for (size_t i = intruder_random(x, 4); is_body_mutated && body.len > 0 && i > 0; i--)
        body.data[intruder_random(x, body.len)] = (uint8_t)intruder_random_u64(x);
    if (is_body_mutated && intruder_random(x, 8) == 0)
        body.len = intruder_random(x, body.len + 1);
    line_seal(&x->line, s->code, writer_slice(&body), writer_slice(&destinations), ret);
    writer_done(&destinations);
    writer_done(&body);
}

static void
mutate(struct intruder *x, struct writer *w)
{
    /* Half of them in the header, where lengths and lists are. */
    size_t range = intruder_random(x, 2) ? w->len : MESSAGE_HEADER_BYTES + 24;

    for (size_t i = 1 + intruder_random(x, 8); i > 0; i--)
        w->data[intruder_random(x, range < w->len ? range : w->len)] ^=
            (uint8_t)(1 + intruder_random(x, 255));
}

/* Sends @count messages made by @make; a link that was closed is opened again. */
static void
flood(struct intruder *x, void (*make)(struct intruder *x, struct writer *ret), bool is_framed)
{
    unsigned closed = 0;
    struct writer w;

    if (!intruder_open_line(x))
        return;
    writer_init(&w, MUTATED_BYTES);
    for (unsigned i = 0; i < x->count; i++) {
        make(x, &w);
        bool is_sent = is_framed ? line_frame(&x->line, writer_slice(&w))
                                 : line_write(&x->line, writer_slice(&w));
        if (is_sent && i % 16 == 15) /* take what comes back, notice a close */
            is_sent = !line_wait_closed(&x->line, 1);
        closed += !is_sent;
        if (!is_sent && !intruder_open_line(x))
            break;
    }
    writer_done(&w);
    printf("sent %u, closed %u times\n", x->count, closed);
}

static void
make_mutated(struct intruder *x, struct writer *ret)
{
    example(x, false, ret);
    mutate(x, ret);
}

static void
make_signed(struct intruder *x, struct writer *ret)
{
    example(x, true, ret);
}

static void
make_truncated(struct intruder *x, struct writer *ret)
{
    example(x, false, ret);
    ret->len = intruder_random(x, ret->len);
}

static void
make_frames(struct intruder *x, struct writer *ret)
{
    struct writer message;

    writer_init(&message, MESSAGE_MAX_BYTES);
    example(x, false, &message);
    writer_reset(ret);
    frame_write_data(ret, x->line.sequence++, writer_slice(&message));
    frame_write_ack(ret, (uint32_t)intruder_random(x, 4), 0);
    ret->data[intruder_random(x, 2) ? intruder_random(x, FRAME_DATA_HEADER_BYTES)
                                    : intruder_random(x, ret->len)] ^=
        (uint8_t)(1u << intruder_random(x, 8));
    writer_done(&message);
}

/* Beginnings of messages whose ends never come. */
static void
make_fragment(struct intruder *x, struct writer *ret)
{
    example(x, false, ret);
    writer_patch_u32(ret, 12, FRAGMENT_ALWAYS);
    writer_patch_u32(ret, 20, (uint32_t)intruder_random_u64(x)); /* a transaction of its own */
}

void
intruder_mutated(struct intruder *x)
{
    flood(x, make_mutated, true);
}

void
intruder_mutated_signed(struct intruder *x)
{
    flood(x, make_signed, true);
}

void
intruder_truncated(struct intruder *x)
{
    flood(x, make_truncated, true);
}

void
intruder_mutated_frames(struct intruder *x)
{
    flood(x, make_frames, false);
}

void
intruder_fragments(struct intruder *x)
{
    flood(x, make_fragment, true);
}
