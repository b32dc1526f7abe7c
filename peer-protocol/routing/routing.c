#include "peer-protocol/routing/routing.h"

static void
refuse(struct routing *r, uint16_t error, const char *reason)
{
    r->verdict = ROUTING_REFUSE;
    r->error = error;
    r->reason = reason;
}

static void
drop(struct routing *r, const char *reason)
{
    r->verdict = ROUTING_DROP;
    r->reason = reason;
}

bool
routing_has_option(struct slice options, uint8_t flags)
{
    struct reader in;
    struct forwarding_option o;

    reader_init(&in, options);
    while (forwarding_option_read(&in, &o))
        if (o.flags & flags)
            return true;
    return false;
}

static void
decide_forward(const struct forwarding *h, const struct id *next, struct slice destinations,
               struct routing *ret)
{
    if (h->ttl == 0) {
        refuse(ret, ERROR_TTL_EXCEEDED, "time to live is over");
        return;
    }
    if (routing_has_option(h->options, FORWARDING_FORWARD_CRITICAL)) {
        refuse(ret, ERROR_UNSUPPORTED_FORWARDING_OPTION, "a critical forwarding option");
        return;
    }
    ret->verdict = ROUTING_FORWARD;
    ret->next = *next;
    ret->destinations = destinations;
}

static bool
is_same_entry(const struct destination *a, const struct destination *b)
{
    if (a->type != b->type)
        return false;
    return a->type == DESTINATION_OPAQUE ? slice_equal(a->opaque, b->opaque)
                                         : id_equal(&a->id, &b->id);
}

static size_t
read_list(struct slice list, struct destination entry[MESSAGE_LIST_MAX])
{
    struct reader in;
    size_t count = 0;

    reader_init(&in, list);
    while (count < MESSAGE_LIST_MAX && destination_read(&in, &entry[count]))
        count++;
    return count;
}

/* A list that names a node twice sends a message in circles, as often as its writer likes. */
static const char *
fault_of_destinations(const struct destination *entry, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (entry[i].type == DESTINATION_NODE && id_is_wildcard(&entry[i].id) && i + 1 < count)
            return "a wildcard that is not the last destination"; /* section 6.3.2.2 */
        for (size_t k = 0; k < i; k++)
            if (is_same_entry(&entry[i], &entry[k]))
                return "one destination twice";
    }
    return NULL;
}

/* Each hop adds an entry to the via list and takes one from the TTL: a longer list is made up, and
 * whoever answered it would send his answer that long a way. */
static bool
has_made_up_via(const struct forwarding *h, uint8_t initial_ttl)
{
    size_t count = 0;

    return destination_list_check(h->via, true, &count) != ST_OK ||
           count > (size_t)(initial_ttl - h->ttl);
}

static bool
check_lists(const struct forwarding *h, bool is_request, uint8_t initial_ttl, struct routing *ret)
{
    struct destination entry[MESSAGE_LIST_MAX];
    size_t count = read_list(h->destinations, entry);
    const char *fault = fault_of_destinations(entry, count);

    if (has_made_up_via(h, initial_ttl))
        refuse(ret, 0, "more entries in its via list than hops behind it");
    else if (is_request && count > ROUTING_DESTINATIONS_MAX)
        refuse(ret, ERROR_INVALID_MESSAGE, "too many destinations");
    else if (fault)
        refuse(ret, ERROR_INVALID_MESSAGE, fault);
    else
        return true;
    return false;
}

/* Section 6.1: the three cases, for the first entry that is not this node. */
void
routing_decide(const struct forwarding *h, bool is_request, const struct id *self,
               uint8_t initial_ttl, const struct routing_table *table, struct routing *ret)
{
    struct reader in;
    struct destination d;
    struct id next;
    struct slice left = h->destinations;

    *ret = (struct routing){.verdict = ROUTING_DROP, .reason = "no destination"};
    if (h->ttl > initial_ttl) {
        refuse(ret, ERROR_TTL_EXCEEDED, "time to live over the initial one");
        return;
    }
    if (!check_lists(h, is_request, initial_ttl, ret))
        return;
    reader_init(&in, h->destinations);
    while (destination_read(&in, &d)) {
        bool is_last = reader_left(&in) == 0;
        bool is_node = d.type == DESTINATION_NODE;
        ret->target = d;
        if (d.type == DESTINATION_OPAQUE) {
            drop(ret, "an opaque ID that is not ours");
            return;
        }
        if (is_node && id_equal(&d.id, self) && !is_last) {
            left = slice_of(in.at, reader_left(&in));
            continue;
        }
        if (!is_node && !is_last) {
            drop(ret, "a Resource-ID that is not the last destination");
            return;
        }
        if (is_node && (id_equal(&d.id, self) || id_is_wildcard(&d.id))) {
            ret->verdict = ROUTING_DELIVER;
            return;
        }
        enum status st = table->next_hop(table->ctx, &d.id, is_node, &next);
        if (st == ST_OK)
            decide_forward(h, &next, left, ret);
        else if (st == ST_EXISTS && !is_node)
            ret->verdict = ROUTING_DELIVER;
        else
            drop(ret, "no way to its destination"); /* section 6.1.1 for a Node-ID of ours */
        ret->has_no_way = ret->verdict == ROUTING_DROP && st == ST_UNREACHABLE;
        return;
    }
}

enum status
routing_forward(struct slice message, const struct forwarding *h, const struct routing *route,
                const struct id *from, struct writer *ret)
{
    struct forwarding on = *h;
    struct destination last = destination_node(from);
    struct writer via;
    size_t count;
    enum status st;

    if (destination_list_check(h->via, true, &count) != ST_OK || count >= MESSAGE_LIST_MAX)
        return ST_LIMIT;
    writer_init(&via, UINT16_MAX);
    writer_bytes(&via, h->via);
    destination_write(&via, &last);
    on.via = writer_slice(&via);
    on.destinations = route->destinations;
    on.ttl = (uint8_t)(h->ttl - 1);
    if (via.failed == ST_OK)
        forwarding_rewrite(ret, message, &on);
    st = via.failed != ST_OK ? via.failed : ret->failed;
    writer_done(&via);
    return st;
}

/* Back to where the message has been before: what lies between was a circle. */
static size_t
cut_circle(const struct destination *entry, size_t count)
{
    for (size_t k = 0; k + 1 < count; k++)
        if (is_same_entry(&entry[k], &entry[count - 1]))
            return k + 1;
    return count;
}

void
routing_response_destinations(struct slice via, const struct id *from, struct writer *ret)
{
    struct destination entry[MESSAGE_LIST_MAX], back[MESSAGE_LIST_MAX + 1];
    size_t left = read_list(via, entry), count = 0;

    back[count++] = destination_node(from);
    while (left > 0) {
        back[count] = entry[--left];
        count = cut_circle(back, count + 1);
    }
    routing_destinations(back, count, ret);
}

void
routing_response_options(struct slice options, struct writer *ret)
{
    struct reader in;
    struct forwarding_option o;

    reader_init(&in, options);
    while (forwarding_option_read(&in, &o)) {
        if (!(o.flags & FORWARDING_RESPONSE_COPY))
            continue;
        o.flags &= (uint8_t) ~(FORWARDING_FORWARD_CRITICAL | FORWARDING_DESTINATION_CRITICAL |
                               FORWARDING_RESPONSE_COPY);
        forwarding_option_write(ret, &o);
    }
}

void
routing_destinations(const struct destination *to, size_t count, struct writer *ret)
{
    for (size_t i = 0; i < count; i++)
        destination_write(ret, &to[i]);
}

bool
routing_is_request(uint16_t code)
{
    return code != MESSAGE_ERROR && (code & 1) == 1;
}
