/**
 * DOC: a call on its own, and what it asks for as text
 */
#ifndef TESTS_UNIT_CALL_TRACED_H
#define TESTS_UNIT_CALL_TRACED_H

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/call/call.h"

/* What a call asked for, in order, as text: the oracle of every test below. */
static char trace[2048];
static bool is_sending_broken;
static struct call *call;
static struct moment now;

static inline void PRINTF_LIKE(1, 2) say(const char *fmt, ...)
{
    size_t len = strlen(trace);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(trace + len, sizeof(trace) - len, fmt, ap);
    va_end(ap);
}

static inline bool
send_initial(void *ctx, unsigned branch)
{
    (void)ctx;
    say("send %u\n", branch);
    return !is_sending_broken;
}

static inline void
cancel(void *ctx, unsigned branch)
{
    (void)ctx;
    say("cancel %u\n", branch);
}

static inline void
resume(void *ctx, unsigned branch)
{
    (void)ctx;
    say("resume %u\n", branch);
}

static inline void
forget(void *ctx, unsigned branch)
{
    (void)ctx;
    say("forget %u\n", branch);
}

static inline void
search_again(void *ctx)
{
    (void)ctx;
    say("search again\n");
}

static inline void
doubt(void *ctx)
{
    (void)ctx;
    say("doubt\n");
}

static inline void
relay(void *ctx, unsigned branch, uint8_t dialog)
{
    (void)ctx;
    say("relay %u dialog %d\n", branch, dialog == CALL_NO_DIALOG ? -1 : dialog);
}

static inline void
keep(void *ctx, unsigned branch)
{
    (void)ctx;
    say("keep %u\n", branch);
}

static inline void
finish(void *ctx, int status)
{
    (void)ctx;
    say("finish %d\n", status);
}

static inline void
acknowledge(void *ctx, unsigned invite)
{
    (void)ctx;
    say("ack %u\n", invite);
}

static inline void
refuse_dialog(void *ctx, uint8_t dialog)
{
    (void)ctx;
    say("refuse dialog %d\n", dialog);
}

static inline void
hang_up(void *ctx, enum call_leg leg)
{
    (void)ctx;
    say("bye %s\n", leg == CALL_CALLER ? "caller" : "callee");
}

static inline void
changed(void *ctx, enum call_state was, enum call_state state, const char *reason)
{
    (void)ctx;
    (void)was;
    say("-> %s: %s\n", call_state_name(state), reason);
}

static const struct call_out out = {.send_initial = send_initial,
                                    .cancel = cancel,
                                    .resume = resume,
                                    .forget = forget,
                                    .search_again = search_again,
                                    .doubt = doubt,
                                    .relay = relay,
                                    .keep = keep,
                                    .finish = finish,
                                    .acknowledge = acknowledge,
                                    .refuse_dialog = refuse_dialog,
                                    .hang_up = hang_up,
                                    .changed = changed};
static const struct call_conf conf = {.search_ms = 5000,
                                      .hop_ms = 2000,
                                      .answer_ms = 60000,
                                      .ack_ms = 32000,
                                      .ending_ms = 40000,
                                      .unreachable_status = 500,
                                      .searches = 1};

static inline void
begin(enum call_kind kind)
{
    call_free(call);
    trace[0] = '\0';
    is_sending_broken = false;
    now = (struct moment){.mono_ms = 1000};
    call = call_new(kind, &conf, &out, NULL, now);
    ck_assert_ptr_nonnull(call);
}

static inline void
setup(void)
{
    begin(CALL_SESSION);
}

static inline void
teardown(void)
{
    call_free(call);
    call = NULL;
}

/** Compares what was asked for since the last time, and forgets it. */
static inline void
expect(const char *text)
{
    ck_assert_str_eq(trace, text);
    trace[0] = '\0';
}

static inline void
targets(size_t count, bool is_serial)
{
    struct call_target target[CALL_BRANCHES_MAX] = {{0}};

    for (size_t i = 0; i < count; i++)
        target[i] = (struct call_target){.group = is_serial ? (uint8_t)i : 0, .is_hop = is_serial};
    call_on_targets(call, now, target, count);
}

static inline void
response(unsigned branch, int status, uint8_t dialog)
{
    struct call_response r = {.status = status, .dialog = dialog};

    call_on_response(call, now, branch, &r);
}

static inline void
failure(unsigned branch, int status)
{
    struct call_response r = {.status = status, .dialog = CALL_NO_DIALOG, .is_ours = true};

    call_on_response(call, now, branch, &r);
}

static inline int
answer(unsigned exchange, int status, uint32_t expires_s, bool is_last)
{
    struct call_response r = {.status = status, .dialog = CALL_NO_DIALOG, .expires_s = expires_s};

    return call_on_answer(call, now, exchange, &r, is_last);
}

static inline unsigned
request(enum call_leg leg, enum call_method method)
{
    unsigned exchange = 99;

    ck_assert_int_eq(call_on_request(call, now, leg, method, &exchange), CALL_PASS);
    return exchange;
}

static inline int
refused(enum call_leg leg, enum call_method method)
{
    unsigned exchange = 99;
    int status = call_on_request(call, now, leg, method, &exchange);

    ck_assert_uint_eq(exchange, 99);
    return status;
}

static inline void
wait_until(uint64_t mono_ms)
{
    now.mono_ms = mono_ms;
    ck_assert_uint_le(call_deadline_ms(call), mono_ms);
    call_tick(call, now);
}

static inline void
talk(void)
{
    targets(1, true);
    response(0, 180, 0);
    response(0, 200, 0);
    call_on_ack(call, now, CALL_INITIAL);
    trace[0] = '\0';
}

#endif
