/* What a member says a second time, and where it says that it is. */
#include <stdio.h>
#include <string.h>

#include "peer-protocol/identity/identity.h"
#include "peer-protocol/message/body.h"
#include "peer-protocol/message/private.h"
#include "tests/e2e/intruder.h"

/* A HELLO that other= has signed, in overlay under=, brought count= times over our link. */
void
intruder_replayed(struct intruder *x)
{
    const struct hello_req hello = {.term = 1, .score = 1000, .is_candidate = 1};
    struct destination to = intruder_to_neighbour();
    struct writer inner, body, destinations, message;
    struct line theirs = x->line;
    uint64_t transaction;

    line_init(&theirs, x->other, x->under, x->line.from, x->line.to);
    if (!intruder_open_line(x))
        return;
    writer_init(&inner, UINT16_MAX);
    writer_init(&body, UINT16_MAX);
    writer_init(&destinations, UINT16_MAX);
    writer_init(&message, MESSAGE_MAX_BYTES);
    hello_req_write(&inner, &hello);
    private_write(&body, PRIVATE_HELLO, writer_slice(&inner));
    destination_write(&destinations, &to);
    transaction = line_seal(&theirs, MESSAGE_EXP_A_REQ, writer_slice(&body),
                            writer_slice(&destinations), &message);
    for (unsigned i = 0; i < x->count; i++) {
        if (!line_frame(&x->line, writer_slice(&message))) {
            intruder_tell_closed(x, "closed");
            break;
        }
        intruder_await(x, transaction);
    }
    writer_done(&inner);
    writer_done(&body);
    writer_done(&destinations);
    writer_done(&message);
}

/* An Attach that says we are at under=IP:PORT: nobody else's address is connected to. */
void
intruder_attach_elsewhere(struct intruder *x)
{
    struct ice_candidate candidate = {.overlay_link = LINK_TLS_TCP_FH_NO_ICE,
                                      .foundation = slice_text("1"),
                                      .priority = 0x7effffffu,
                                      .type = CANDIDATE_HOST};
    struct attach_body attach = {.role = slice_text("passive"), .send_update = true};
    struct destination to = intruder_to_neighbour();
    struct writer candidates, body;

    intruder_must(ip_address_port_parse(x->under, &candidate.address) == ST_OK, "under=IP:PORT");
    if (!intruder_open_line(x))
        return;
    writer_init(&candidates, UINT16_MAX);
    writer_init(&body, UINT16_MAX);
    ice_candidate_write(&candidates, &candidate);
    attach.candidates = writer_slice(&candidates);
    attach_write(&body, &attach);
    for (unsigned i = 0; i < x->count; i++)
        intruder_ask(x, MESSAGE_ATTACH_REQ, writer_slice(&body), &to);
    writer_done(&candidates);
    writer_done(&body);
}
