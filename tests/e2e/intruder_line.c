#include "tests/e2e/intruder_line.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "peer-protocol/identity/identity.h"
#include "peer-protocol/link/socket_address.h"
#include "peer-protocol/message/frame.h"

#define INPUT_BYTES (1u << 20)
#define CONNECT_MS  5000

void
line_init(struct line *l, struct identity *identity, const char *overlay, const char *from,
          const char *to)
{
    *l = (struct line){.identity = identity, .from = from, .to = to, .fd = -1, .sequence = 0};
    l->envelope = (struct envelope){.keys = identity_keys(identity),
                                    .configuration_sequence = 1,
                                    .initial_ttl = MESSAGE_INITIAL_TTL,
                                    .max_bytes = MESSAGE_MAX_BYTES};
    l->envelope.overlay = envelope_overlay(&l->envelope.keys, overlay);
    writer_init(&l->input, INPUT_BYTES);
}

static void
hang_up(struct line *l)
{
    SSL_free(l->ssl);
    l->ssl = NULL;
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

void
line_close(struct line *l)
{
    hang_up(l);
    writer_done(&l->input);
}

static int64_t
now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Note why, and close.  Always false. */
static bool
broke(struct line *l, const char *what)
{
    unsigned long error = ERR_peek_last_error();
    const char *text = error ? ERR_reason_error_string(error) : NULL;

    if (!text)
        text = errno ? strerror(errno) : "end of stream";
    snprintf(l->reason, sizeof(l->reason), "%s: %s", what, text);
    ERR_clear_error();
    hang_up(l);
    return false;
}

bool
line_connect(struct line *l)
{
    struct socket_address from, to;
    struct timeval most = {CONNECT_MS / 1000, 0};
    int one = 1;

    hang_up(l);
    writer_reset(&l->input);
    errno = EINVAL;
    if (socket_address_parse(l->from, &from) != ST_OK || socket_address_parse(l->to, &to) != ST_OK)
        return broke(l, "address");
    from.v4.sin_port = 0;
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || bind(l->fd, &from.any, from.len) != 0 ||
        setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most)) != 0 ||
        setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most)) != 0 ||
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
        connect(l->fd, &to.any, to.len) != 0)
        return broke(l, "connect");
    return true;
}

bool
line_secure(struct line *l)
{
    errno = 0;
    l->ssl = SSL_new(l->anonymous ? l->anonymous : identity_tls(l->identity));
    if (!l->ssl || !identity_tls_mark(l->ssl) || SSL_set_fd(l->ssl, l->fd) != 1)
        return broke(l, "TLS");
    SSL_set_verify(l->ssl, SSL_VERIFY_NONE, NULL); /* we take any: it is they who must not */
    if (SSL_connect(l->ssl) != 1)
        return broke(l, "TLS");
    return true;
}

bool
line_open(struct line *l)
{
    return line_connect(l) && line_secure(l);
}

bool
line_write(struct line *l, struct slice bytes)
{
    errno = 0;
    for (size_t at = 0; l->ssl && at < bytes.len;) {
        int count = SSL_write(l->ssl, bytes.data + at, (int)(bytes.len - at));
        if (count <= 0)
            return broke(l, "write");
        at += (size_t)count;
    }
    return l->ssl != NULL;
}

bool
line_frame(struct line *l, struct slice message)
{
    struct writer w;

    writer_init(&w, INPUT_BYTES);
    frame_write_data(&w, l->sequence++, message);
    bool is_written = line_write(l, writer_slice(&w));
    writer_done(&w);
    return is_written;
}

uint64_t
line_seal(struct line *l, uint16_t code, struct slice body, struct slice to, struct writer *w)
{
    const struct envelope_letter letter = {
        .transaction_id = identity_random(), .code = code, .body = body};
    struct forwarding header = envelope_header(&l->envelope, letter.transaction_id);
    struct slice sealed = {0};

    header.destinations = to;
    if (envelope_seal(&l->envelope, &letter, &sealed) != ST_OK)
        abort();
    writer_reset(w);
    message_write(w, &header, sealed, slice_of(NULL, 0));
    slice_free(&sealed);
    return letter.transaction_id;
}

/* ---- what comes in -----------------------------------------------------------------------------
 */

/* More bytes from the link; false if none come until then, or it is closed. */
static bool
read_more(struct line *l, int64_t until_ms)
{
    uint8_t bytes[16384];
    struct pollfd wait = {.fd = l->fd, .events = POLLIN};

    if (!SSL_has_pending(l->ssl)) {
        int64_t left_ms = until_ms - now_ms();
        if (left_ms <= 0 || poll(&wait, 1, (int)left_ms) <= 0)
            return false;
    }
    errno = 0;
    int count = SSL_read(l->ssl, bytes, sizeof(bytes));
    if (count <= 0)
        return broke(l, "read");
    writer_bytes(&l->input, slice_of(bytes, (size_t)count));
    return true;
}

/* The next data frame, copied to @ret; acknowledged. */
static bool
take_frame(struct line *l, struct writer *ret)
{
    struct frame f;
    size_t used;

    while (frame_read(writer_slice(&l->input), INPUT_BYTES, &f, &used) == ST_OK && used > 0) {
        bool is_data = f.type == FRAME_DATA;
        if (is_data) {
            struct writer ack;
            writer_reset(ret);
            writer_bytes(ret, f.message);
            writer_init(&ack, FRAME_ACK_BYTES);
            frame_write_ack(&ack, f.sequence, 0);
            line_write(l, writer_slice(&ack));
            writer_done(&ack);
        }
        memmove(l->input.data, l->input.data + used, l->input.len - used);
        l->input.len -= used;
        if (is_data)
            return true;
    }
    return false;
}

enum line_end
line_await(struct line *l, uint64_t transaction, int ms, struct message *ret)
{
    static struct writer message = {.limit = INPUT_BYTES}; /* borrowed by @ret */
    int64_t until_ms = now_ms() + ms;

    while (l->ssl) {
        while (l->ssl && take_frame(l, &message))
            if (message_decode(writer_slice(&message), ret, NULL) == ST_OK &&
                ret->header.transaction_id == transaction)
                return LINE_ANSWERED;
        if (l->ssl && !read_more(l, until_ms))
            return l->ssl ? LINE_SILENT : LINE_CLOSED;
    }
    return LINE_CLOSED;
}

bool
line_wait_closed(struct line *l, int ms)
{
    struct message ignored;

    return line_await(l, 0, ms, &ignored) == LINE_CLOSED;
}
