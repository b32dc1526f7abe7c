/**
 * DOC: the dialogs that were made through this proxy, and where their ends are
 *
 * A phone that sends everything to its proxy sends the requests of a call that way too, to the
 * other phone's address.  They pass if a dialog with that Call-ID and both tags was made through us
 * and one of its messages named that address; nobody uses us to send to an address of his choice.
 * So does a request that begins a dialog and names that one: a transfer, a call that is picked up.
 *
 *               its response passes         its BYE has succeeded
 *     (nothing) -------------------> NOTED ----------------------> OVER
 *                                      | NOTED_AGE_MS unused,        | NOTED_OVER_MS, or
 *                                      | or more than NOTED_MAX      | NOTED_SUBSCRIBED_MS
 *                                      +-----------> (nothing) <-----+
 *
 * Where a subscription shares the dialog (REFER, SUBSCRIBE), its NOTIFYs come after the BYE, too.
 *
 * Source: RFC 3261 sections 12 and 16.5, RFC 5057 section 4.
 */
#ifndef GATEWAY_SIP_NOTED_H
#define GATEWAY_SIP_NOTED_H

#include <stdbool.h>
#include <stdint.h>

#include <sofia-sip/sip.h>

#define NOTED_MAX        65536    /* dialogs */
#define NOTED_TEXT_BYTES 768      /* of one: its addresses, and the ways there */
#define NOTED_AGE_MS     43200000 /* 12 hours after its last use */
#define NOTED_OVER_MS    32000    /* 64*T1: what is under way when it ends */
#define NOTED_SUBSCRIBED_MS                                                                        \
    600000 /* a transfer says how it ended when the third phone has rung                           \
            */

struct noted;

struct noted *noted_new(uint64_t seed);
void noted_free(struct noted *n);

/**
 * noted_put - an address of a dialog
 * @sip:     a message of the dialog, or that makes it, with its Call-ID and tags; borrowed
 * @url:     a Contact, or a Record-Route
 * @through: the serving peer's URI, or "" for straight to it
 */
void noted_put(struct noted *n, const sip_t *sip, const url_t *url, const char *through,
               uint64_t now_ms);

/**
 * noted_get - may this request go to that address?
 * Returns: through whom, "" for straight; NULL where its dialog was not made here or never named
 *          @url.  Borrowed until the next call.
 */
const char *noted_get(struct noted *n, const sip_t *sip, const url_t *url, uint64_t now_ms);

/** noted_get_subscriber - the same for a NOTIFY whose dialog is not noted: its subscriber's
 * address, put by a SUBSCRIBE or REFER that has no To tag. */
const char *noted_get_subscriber(struct noted *n, const sip_t *sip, const url_t *url,
                                 uint64_t now_ms);

/** noted_get_named - the same for a request outside of it that names a dialog: who knows its
 * Call-ID and both tags, in whichever order, may reach its ends (RFC 3891, 3911, 4538) */
const char *noted_get_named(struct noted *n, const char *call_id, const char *tag,
                            const char *other_tag, const url_t *url, uint64_t now_ms);

/** noted_end - the dialog of this message is over. */
void noted_end(struct noted *n, const sip_t *sip, uint64_t now_ms);

/** noted_tick - now and then: what is too old goes. */
void noted_tick(struct noted *n, uint64_t now_ms);

/** noted_count - dialogs that are remembered. */
size_t noted_count(const struct noted *n);

#endif
