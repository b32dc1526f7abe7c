/* Our own requests and records: the first byte says which. */
#include "peer-protocol/message/binding.h"
#include "peer-protocol/message/private.h"
#include "tests/fuzz/fuzz.h"

#define PAIR(name)                                                                                 \
    static enum status name(struct slice in, struct writer *w)                                     \
    {                                                                                              \
        struct name b;                                                                             \
        enum status st = name##_read(in, &b);                                                      \
        if (st == ST_OK)                                                                           \
            name##_write(w, &b);                                                                   \
        return st;                                                                                 \
    }

PAIR(hello_req)
PAIR(hello_ans)
PAIR(claim_req)
PAIR(probe_gateway_req)
PAIR(probe_gateway_ans)
PAIR(resolve_req)
PAIR(resolve_ans)
PAIR(node_info)
PAIR(handover_req)
PAIR(dialogs_req)
PAIR(dialogs_ans)
PAIR(in_progress)
PAIR(gateway_record)
PAIR(candidate_record)
PAIR(algorithm_extension)

static enum status
binding_record(struct slice in, struct writer *w)
{
    struct binding_record *b = NULL;
    struct binding_record *copy;
    enum status st = binding_record_read(in, &b);

    if (st)
        return st;
    copy = binding_record_copy(b);
    binding_record_free(b);
    if (!copy)
        return ST_NOMEM;
    binding_record_write(w, copy);
    fuzz_must(w->failed || binding_record_bytes(copy) == in.len);
    binding_record_free(copy);
    return ST_OK;
}

static enum status
envelope(struct slice in, struct writer *w)
{
    struct slice body;
    uint16_t subtype;
    enum status st = private_read(in, &subtype, &body);

    if (st == ST_OK)
        private_write(w, subtype, body);
    return st;
}

/* The entries one by one, as the holder of copies walks them. */
static enum status
dialogs_entries(struct slice in, struct writer *w)
{
    struct dialogs_entry e;
    struct reader r;

    reader_init(&r, in);
    while (dialogs_entry_read(&r, &e)) {
        fuzz_must(e.token.len > 0 && e.token.len <= DIALOGS_TOKEN_MAX);
        dialogs_entry_write(w, e.token, e.record);
    }
    return r.failed ? ST_MALFORMED : ST_OK;
}

static const fuzz_pair pairs[] = {
    hello_req,      hello_ans,      claim_req,        probe_gateway_req,   probe_gateway_ans,
    resolve_req,    resolve_ans,    node_info,        handover_req,        in_progress,
    binding_record, gateway_record, candidate_record, algorithm_extension, envelope,
    dialogs_req,    dialogs_ans,    dialogs_entries,
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 0)
        fuzz_same(pairs[data[0] % (sizeof(pairs) / sizeof(pairs[0]))], slice_of(data + 1, len - 1));
    return 0;
}
