/**
 * DOC: one TLS link to a daemon, by hand
 *
 * Blocking, one at a time, with nothing that keeps its user from breaking the rules: raw bytes,
 * frames or whole messages go out as they are given.  Frames that come in are acknowledged, what
 * does not belong to the question is passed over.
 */
#ifndef TESTS_E2E_INTRUDER_LINE_H
#define TESTS_E2E_INTRUDER_LINE_H

#include <openssl/ssl.h>

#include "peer-protocol/routing/envelope.h"

struct identity;

struct line {
    struct identity *identity; /* borrowed */
    const char *from;          /* "IP:0" */
    const char *to;            /* "IP:PORT" */
    struct envelope envelope;
    SSL_CTX *anonymous; /* without a certificate; NULL: as the identity */
    int fd;
    SSL *ssl;
    uint32_t sequence;
    uint64_t transaction;
    struct writer input;
    char reason[256]; /* why it is closed */
};

void line_init(struct line *l, struct identity *identity, const char *overlay, const char *from,
               const char *to);
void line_close(struct line *l);

/** line_connect - TCP only; false with l->reason. */
bool line_connect(struct line *l);
/** line_secure - TLS.  A server may still refuse our certificate at the first read. */
bool line_secure(struct line *l);
/** line_open - both, closing what was there. */
bool line_open(struct line *l);

/** line_write - bytes inside TLS; false once the link is closed. */
bool line_write(struct line *l, struct slice bytes);
/** line_frame - one data frame. */
bool line_frame(struct line *l, struct slice message);

/**
 * line_seal - a whole, signed message of ours
 * @to: destination list, raw
 * @w:  emptied, then written
 * Returns: its transaction ID.
 */
uint64_t line_seal(struct line *l, uint16_t code, struct slice body, struct slice to,
                   struct writer *w);

enum line_end { LINE_ANSWERED, LINE_SILENT, LINE_CLOSED };
/** line_await - the answer to @transaction; @ret borrows l->input until the next call. */
enum line_end line_await(struct line *l, uint64_t transaction, int ms, struct message *ret);

/** line_wait_closed - until the other side closes; false if it does not within @ms. */
bool line_wait_closed(struct line *l, int ms);

#endif
